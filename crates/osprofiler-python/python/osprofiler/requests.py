# SPDX-License-Identifier: Apache-2.0
"""Points round the requests that the library ``requests`` sends, with the trace headers on each.

In: ``enable``, and requests. Out: the library's answers and errors, as they were; inside a trace a point a request, as
``enable`` says. A redirect is a second request; the retries of an adapter (none by default) are inside
one.
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

    A point is named after its URL's scheme and tells ``requests.method``, ``.scheme``, ``.hostname``, ``.port``,
    ``.path`` and ``.query``, never a URL's user and password. It ends with the head of the answer and tells
    ``requests.status_code``, or ``etype`` and ``message``. Where two libraries that ride on each other are traced, a
    request is still one point.

    Where ``requests`` is not installed, one warning says so. A request outside of a trace costs about 0.3 us.

    >>> from osprofiler import requests
    >>> requests.enable()
    """
    global _FUNC, _enabled
    library = _libraries.library("requests", "requests of `requests`")
    if library is None:
        return
    adapter = library.adapters.HTTPAdapter
    if _FUNC is None:
        _FUNC = adapter.send
        functools.update_wrapper(send, _FUNC)
    if adapter.send is _FUNC:
        adapter.send = send
    _enabled = True
    LOG.debug("requests of `requests` are traced")


def disable():
    """Make no further request a point."""
    global _enabled
    _enabled = False


def send(self, request, *args, **kwargs):
    """Send a request inside a point; what ``enable`` puts into the place of ``HTTPAdapter.send``."""
    point = None
    if _enabled and profiler.get() is not None:
        point = _outgoing.open_point(request.method, request.url, request.headers)
    try:
        response = _FUNC(self, request, *args, **kwargs)
    except BaseException as error:
        _outgoing.fail_point(point, error)
        raise
    _outgoing.close_point(point, getattr(response, "status_code", None))
    return response
