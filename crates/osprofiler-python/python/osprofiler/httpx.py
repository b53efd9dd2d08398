# SPDX-License-Identifier: Apache-2.0
"""Points round the requests that the library ``httpx`` sends, of its clients with and without asyncio.

In: ``enable``, and requests. Out: the library's answers and errors, as they were; inside a trace a point a request, as
``osprofiler.requests`` says, with the trace headers on it. A redirect is a second request. What a transport of another
kind does, one that calls an application in this process for instance, never goes out and is no point.
"""

import functools
import logging

from osprofiler import _libraries, _outgoing, profiler

LOG = logging.getLogger(__name__)

# The original functions, once it is enabled.
_FUNC = None
_ASYNC_FUNC = None
_enabled = False


def enable():
    """Make each request of the process a point. Calling it again changes nothing.

    Where ``httpx`` is not installed, one warning says so. A request outside of a trace costs about 0.3 us.

    >>> from osprofiler import httpx
    >>> httpx.enable()
    """
    global _FUNC, _ASYNC_FUNC, _enabled
    library = _libraries.library("httpx", "requests of `httpx`")
    if library is None:
        return
    transport, async_transport = library.HTTPTransport, library.AsyncHTTPTransport
    if _FUNC is None:
        _FUNC = transport.handle_request
        _ASYNC_FUNC = async_transport.handle_async_request
        functools.update_wrapper(_handle_request, _FUNC)
        functools.update_wrapper(_handle_async_request, _ASYNC_FUNC)
    if transport.handle_request is _FUNC:
        transport.handle_request = _handle_request
    if async_transport.handle_async_request is _ASYNC_FUNC:
        async_transport.handle_async_request = _handle_async_request
    _enabled = True
    LOG.debug("requests of `httpx` are traced")


def disable():
    """Make no further request a point."""
    global _enabled
    _enabled = False


def _handle_request(self, request):
    point = _point(request)
    try:
        response = _FUNC(self, request)
    except BaseException as error:
        _outgoing.fail_point(point, error)
        raise
    _outgoing.close_point(point, response.status_code)
    return response


async def _handle_async_request(self, request):
    point = _point(request)
    try:
        response = await _ASYNC_FUNC(self, request)
    except BaseException as error:
        _outgoing.fail_point(point, error)
        raise
    _outgoing.close_point(point, response.status_code)
    return response


def _point(request):
    if not _enabled or profiler.get() is None:
        return None
    return _outgoing.open_point(request.method, request.url, request.headers)
