# SPDX-License-Identifier: Apache-2.0
"""Points round the requests that the client of ``aiohttp`` (3.12 and later) sends, with the trace headers on each.

In: ``enable``, and requests. Out: the library's answers and errors, as they were; inside a trace a point a request, as
``osprofiler.requests`` says. A redirect and a retry are requests of their own; a WebSocket is the request that opens
it.
"""

import functools
import logging

from osprofiler import _libraries, _native, _outgoing, profiler

LOG = logging.getLogger(__name__)

# The original function, once it is enabled.
_FUNC = None
_enabled = False


def enable():
    """Make each request of the process a point. Calling it again changes nothing.

    Where ``aiohttp`` is not installed, or too old, one warning says so. A request outside of a trace costs about 0.3
    us.

    >>> from osprofiler import aiohttp
    >>> aiohttp.enable()
    """
    global _FUNC, _enabled
    library = _libraries.library("aiohttp", "requests of `aiohttp`", since=("3.12", "ClientMiddlewareType"))
    if library is None:
        return
    session = library.ClientSession
    if _FUNC is None:
        _FUNC = session._request
        functools.update_wrapper(_request, _FUNC)
    if session._request is _FUNC:
        session._request = _request
    _enabled = True
    LOG.debug("requests of `aiohttp` are traced")


def disable():
    """Make no further request a point."""
    global _enabled
    _enabled = False


def _request(self, *args, **kwargs):
    if _enabled and profiler.get() is not None:
        # A middleware is called for each request that goes out, and the last one by whatever sends it again.
        middlewares = kwargs.get("middlewares")
        kwargs["middlewares"] = (*(self._middlewares if middlewares is None else middlewares), _point)
    try:
        return _FUNC(self, *args, **kwargs)
    except BaseException as error:
        _native.hide_frame(error)
        raise


async def _point(request, handler):
    point = _outgoing.open_point(request.method, request.url, request.headers)
    try:
        response = await handler(request)
    except BaseException as error:
        _outgoing.fail_point(point, error)
        raise
    _outgoing.close_point(point, response.status)
    return response
