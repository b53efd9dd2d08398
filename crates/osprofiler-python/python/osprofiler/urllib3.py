# SPDX-License-Identifier: Apache-2.0
"""Points round the requests that the library ``urllib3`` (1.26, 2) sends, with the trace headers on each.

In: ``enable``, and requests. Out: the library's answers and errors, as they were; inside a trace a point a request, as
``osprofiler.requests`` says. A redirect and a retry are requests of their own. What rides on ``urllib3``, such as
``requests``, is traced by this too; where both are enabled, a request is still one point.
"""

import functools
import logging

from osprofiler import _libraries, _outgoing, profiler

LOG = logging.getLogger(__name__)

# The original function, once it is enabled.
_FUNC = None
_enabled = False


def enable():
    """Make each request of the process a point. Calling it again changes nothing.

    Where ``urllib3`` is not installed, one warning says so. A request outside of a trace costs about 0.3 us.

    >>> from osprofiler import urllib3
    >>> urllib3.enable()
    """
    global _FUNC, _enabled
    library = _libraries.library("urllib3", "requests of `urllib3`")
    if library is None:
        return
    pool = library.HTTPConnectionPool
    if _FUNC is None:
        # The one place that each request goes through, while `urlopen` calls itself for a retry.
        _FUNC = pool._make_request
        functools.update_wrapper(_make_request, _FUNC)
    if pool._make_request is _FUNC:
        pool._make_request = _make_request
    _enabled = True
    LOG.debug("requests of `urllib3` are traced")


def disable():
    """Make no further request a point."""
    global _enabled
    _enabled = False


def _make_request(self, conn, method, url, *args, **kwargs):
    point = None
    if _enabled and profiler.get() is not None:
        headers = _copy(kwargs.get("headers"))
        if headers is not None:
            kwargs["headers"] = headers
        point = _outgoing.open_point(method, _whole(self, url), headers)
    try:
        response = _FUNC(self, conn, method, url, *args, **kwargs)
    except BaseException as error:
        _outgoing.fail_point(point, error)
        raise
    _outgoing.close_point(point, getattr(response, "status", None))
    return response


def _copy(headers):
    """Return headers of our own, because a caller's may be the pool's; ``None`` if they cannot be had."""
    try:
        if headers is None:
            return {}
        return headers.copy() if hasattr(headers, "copy") else dict(headers)
    except Exception as error:
        LOG.debug("a request carries no trace headers: %s", error)
        return None


def _whole(pool, url):
    """Return the URL with its host; through a proxy it has that already."""
    if not url.startswith("/"):
        return url
    host = f"[{pool.host}]" if ":" in pool.host else pool.host
    return f"{pool.scheme}://{host}:{pool.port}{url}" if pool.port else f"{pool.scheme}://{host}{url}"
