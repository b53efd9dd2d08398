# SPDX-License-Identifier: Apache-2.0
"""Points round the calls that the library ``requests`` makes, with the trace headers on each."""

import functools
import logging
from urllib import parse

from osprofiler import profiler, web

LOG = logging.getLogger(__name__)

try:
    from requests.adapters import HTTPAdapter
except ImportError:
    HTTPAdapter = None

# Original function
_FUNC = None if HTTPAdapter is None else HTTPAdapter.send

_PORTS = {"http": 80, "https": 443}


def send(self, request, *args, **kwargs):
    """``HTTPAdapter.send`` inside a point that is named after the URL's scheme."""
    if profiler.get() is None:
        return _FUNC(self, request, *args, **kwargs)
    scheme, info = _request_info(request)
    profiler.start(scheme, info={"requests": info})
    try:
        request.headers.update(web.get_trace_id_headers())
        response = _FUNC(self, request, *args, **kwargs)
    except Exception as error:
        profiler.stop(info=profiler._error_info(error))
        raise
    except BaseException:
        profiler.stop()
        raise
    profiler.stop(info={"requests": {"status_code": getattr(response, "status_code", None)}})
    return response


if _FUNC is not None:
    send = functools.wraps(_FUNC)(send)


def _request_info(request):
    url = parse.urlparse(str(request.url))
    try:
        port = url.port or _PORTS.get(url.scheme, "")
    except ValueError:
        port = ""
    return url.scheme or "http", {
        "method": request.method,
        "query": url.query,
        "path": url.path,
        "hostname": url.hostname,
        "port": port,
        "scheme": url.scheme,
    }


def enable():
    """Make each request of the process a point. Calling it again changes nothing."""
    if HTTPAdapter is None:
        LOG.warning("outgoing HTTP requests are not traced: the library `requests` is not installed")
        return
    HTTPAdapter.send = send
    LOG.debug("outgoing HTTP requests are traced")
