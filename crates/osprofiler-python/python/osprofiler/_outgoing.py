# SPDX-License-Identifier: Apache-2.0
"""What the HTTP clients have in common: a request that goes out is a point, named after its URL's scheme.

In: a method and a URL. Out: a point with ``requests.method``, ``.query``, ``.path``, ``.hostname``, ``.port`` and
``.scheme``, and on its stop ``requests.status_code``, or ``etype`` and ``message``. A URL's user and password are in
none of them. The point ends with the head of the answer: a redirect or a retry is a request of its own. A library that
rides on another makes no second point: inside a client's point, as long as nothing else is open in it, no other is
opened. The headers are signed while the point is open, and the caller's again afterwards. A `traceparent` that the
program's own OpenTelemetry has set stays. Nothing raises.
"""

import logging
from urllib.parse import urlsplit

from osprofiler import _native, profiler, web
from osprofiler.profiler import _error_info, _safe_str

LOG = logging.getLogger(__name__)

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_TRACE_HEADERS = frozenset(name.lower() for name in (web.X_TRACE_INFO, web.X_TRACE_HMAC, web.TRACEPARENT))

# The places of the clients' points that are open.
_open_places = set()


class _Point:
    """A request's point, and what the headers were that it goes out with."""

    __slots__ = ("before", "headers", "place")

    def __init__(self, place, headers):
        self.place = place
        self.headers = headers
        self.before = {}


def open_point(method, url, headers):
    """Open a request's point, which ``close_point`` or ``fail_point`` closes; return ``None`` if it makes none.

    :param headers: the request's own, a mutable mapping; with the trace headers, until the point is closed, whoever
        answers hangs below the point; ``None`` for a request that can carry none
    """
    around = _native.current_context()
    if around is None or around in _open_places:
        return None
    scheme, info = _info(method, url)
    place = _native.open_point(scheme, {"requests": info})
    if place is None:
        return None
    _open_places.add(place)
    point = _Point(place, headers)
    if headers is not None:
        _add_trace(point)
    return point


def close_point(point, status_code):
    """Close a request's point with what it was answered."""
    if point is not None:
        _close(point, {"requests": {"status_code": status_code}})


def fail_point(point, error):
    """Close a request's point with the error that its client has caught, whose traceback it leaves."""
    _native.hide_frame(error)
    if point is not None:
        _close(point, _error_info(error))


def _close(point, info):
    _open_places.discard(point.place)
    if point.headers is not None:
        _restore(point)
    _native.close_point(point.place, info)


def _add_trace(point):
    headers = point.headers
    try:
        point.before = _take_trace(headers)
        ours = web.get_trace_id_headers()
        for name, value in point.before.items():
            if name.lower() == web.TRACEPARENT and not _is_ours(value):
                # The program has OpenTelemetry of its own, whose span is nearer.
                ours.pop(web.TRACEPARENT, None)
                ours[name] = value
        headers.update(ours)
    except Exception as error:
        LOG.debug("a request carries no trace headers: %s", error)


def _is_ours(traceparent):
    """Whether it was made in the point around the request's."""
    current = profiler.get()
    return traceparent == _native.traceparent(current.get_base_id(), current.get_parent_id())


def _restore(point):
    """Give the caller the headers back as they were: the request is the caller's, and may go out again elsewhere."""
    try:
        _take_trace(point.headers)
        point.headers.update(point.before)
    except Exception as error:
        LOG.debug("a request keeps its trace headers: %s", error)


def _take_trace(headers):
    """Take the trace headers out, and return them as they were."""
    taken = {name: headers[name] for name in headers if name.lower() in _TRACE_HEADERS}
    for name in taken:
        if name in headers:
            del headers[name]
    return taken


def _info(method, url):
    """Return the point's name and what it tells, whatever the URL is."""
    try:
        parts = urlsplit(_safe_str(url))
    except ValueError:
        parts = urlsplit("")
    try:
        port = parts.port or _PORTS.get(parts.scheme, "")
    except ValueError:
        port = ""
    return parts.scheme or "http", {
        "method": _safe_str(method),
        "query": parts.query,
        "path": parts.path,
        "hostname": parts.hostname,
        "port": port,
        "scheme": parts.scheme,
    }
