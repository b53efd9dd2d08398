# SPDX-License-Identifier: Apache-2.0
"""HTTP: the headers that carry a trace along, and the WSGI middleware that joins it.

The middleware serves every request, whatever its headers hold. A request whose headers were signed with one of the keys
is a point ``wsgi`` from the call of the application until its body is closed.
"""

import io
import sys
from urllib.parse import quote

from osprofiler import _native, profiler
from osprofiler import _utils as utils

# Trace keys that are required or optional, any other keys that are present will
# cause trace information to be rejected.
_REQUIRED_KEYS = ("base_id", "hmac_key")
_OPTIONAL_KEYS = ("parent_id",)

#: Http header that will contain the traces data.
X_TRACE_INFO = "X-Trace-Info"
#: Http header that will contain the traces data hmac.
X_TRACE_HMAC = "X-Trace-HMAC"

_ENABLED = None
_HMAC_KEYS = None

_PATH_SAFE = "/~!$&'()*+,;=:@"


def get_trace_id_headers():
    """Return the headers of a call made inside the current point; empty without a trace or a key."""
    current = profiler.get()
    if current and current.hmac_key:
        data = {"base_id": current.get_base_id(), "parent_id": current.get_id()}
        info, hmac = utils.signed_pack(data, current.hmac_key)
        return {X_TRACE_INFO: utils.binary_decode(info), X_TRACE_HMAC: hmac}
    return {}


def disable():
    """Turn every middleware of the process off, whatever its own settings say."""
    global _ENABLED
    _ENABLED = False


def enable(hmac_keys=None):
    """Turn every middleware of the process on; ``hmac_keys`` go before a middleware's own."""
    global _ENABLED, _HMAC_KEYS
    _ENABLED = True
    _HMAC_KEYS = utils.split(hmac_keys or "")


def _is_true(value):
    """Strictly what says true: paste hands the words of an ini file over as they stand."""
    if isinstance(value, str):
        return value.strip().lower() in ("1", "on", "t", "true", "y", "yes")
    return bool(value)


class WsgiMiddleware:
    """WSGI middleware that joins the trace that a request's headers name."""

    def __init__(self, application, hmac_keys=None, enabled=False, **kwargs):
        self.application = application
        self.name = "wsgi"
        self.enabled = _is_true(enabled)
        self.hmac_keys = utils.split(hmac_keys or "")

    @classmethod
    def factory(cls, global_conf, **local_conf):
        """Return what paste calls with an application, with the options of its section."""

        def filter_(app):
            return cls(app, **local_conf)

        return filter_

    def __call__(self, environ, start_response=None):
        """Serve a WSGI request, or answer a ``webob.Request``."""
        if start_response is None:
            return self._respond(environ)
        headers = self._trace_headers(environ.get("HTTP_X_TRACE_INFO"), environ.get("HTTP_X_TRACE_HMAC"))
        if headers is None:
            return _call(self.application, environ, start_response)
        before = _native.open_context()
        streaming = False
        try:
            profiler.init(**headers)
            profiler.start(self.name, info={"request": _request(environ)})
            try:
                body = _call(self.application, environ, start_response)
            except BaseException as error:
                _stop(error)
                raise
            if _is_complete(body, environ):
                profiler.stop()
                return body
            streaming = True
            return _Body(body, _native.current_context(), owns_trace=before is None)
        finally:
            if streaming:
                _native.enter_context(before)
            else:
                _leave(before)

    def _respond(self, request):
        """Answer a ``webob.Request`` with a response."""
        headers = self._trace_headers(
            request.headers.get(X_TRACE_INFO),
            request.headers.get(X_TRACE_HMAC),
        )
        if headers is None:
            return request.get_response(self.application)
        before = _native.open_context()
        try:
            profiler.init(**headers)
            info = {
                "request": {
                    "path": request.path,
                    "query": request.query_string,
                    "method": request.method,
                    "scheme": request.scheme,
                }
            }
            with profiler.Trace(self.name, info=info):
                return request.get_response(self.application)
        finally:
            _leave(before)

    def _trace_headers(self, info, hmac):
        if not info or not hmac:
            return None
        if _ENABLED is False or (_ENABLED is None and not self.enabled):
            return None
        return _native.unpack_headers(info, hmac, _HMAC_KEYS or self.hmac_keys)


def _request(environ):
    def text(name):
        return quote(environ.get(name, "").encode("latin-1", "replace"), safe=_PATH_SAFE)

    return {
        "path": text("SCRIPT_NAME") + text("PATH_INFO"),
        "query": environ.get("QUERY_STRING", ""),
        "method": environ.get("REQUEST_METHOD", "GET"),
        "scheme": environ.get("wsgi.url_scheme", "http"),
    }


def _call(application, environ, start_response):
    """Return the application's answer; a ``webob.exc.HTTPException`` that it raises is one."""
    try:
        return application(environ, start_response)
    except Exception as error:
        exceptions = sys.modules.get("webob.exc")
        if exceptions is None or not isinstance(error, exceptions.HTTPException):
            raise
        return error(environ, start_response)


def _is_complete(body, environ):
    """Whether nothing of the application runs while the body is sent."""
    if isinstance(body, (list, tuple, bytes, io.IOBase)):
        return True
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


def _stop(error):
    if isinstance(error, Exception):
        profiler.stop(info=profiler._error_info(error))
    else:
        profiler.stop()


def _leave(before):
    """Put the context back to the point that was open in it; if there was none, the trace is over."""
    if before is None:
        profiler.clean()
    else:
        _native.enter_context(before)


class _Body:
    """A body that is still being made: its application runs inside the point, which ends when the body is closed."""

    __slots__ = ("__weakref__", "_body", "_context", "_iterator", "_owns_trace", "_point")

    def __init__(self, body, context, owns_trace):
        self._body = body
        self._iterator = None
        self._point = self._context = context
        self._owns_trace = owns_trace

    def __iter__(self):
        return self

    def __next__(self):
        before = _native.enter_context(self._context)
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            return next(self._iterator)
        except StopIteration:
            raise
        except BaseException as error:
            self._end(error)
            raise
        finally:
            self._leave(before)

    def close(self):
        before = _native.enter_context(self._context)
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self._end(error)
            raise
        finally:
            self._end(None)
            self._leave(before)

    def _end(self, error):
        if self._context is None:
            return
        self._context = None
        # What the application has left open stays so: only the request's point ends.
        _native.enter_context(self._point)
        if error is None:
            profiler.stop()
        else:
            _stop(error)
        if self._owns_trace:
            profiler.clean()

    def _leave(self, before):
        """Back to the server's context; where the application left its own is where it goes on."""
        if self._context is not None:
            self._context = _native.current_context()
        _native.enter_context(before)
