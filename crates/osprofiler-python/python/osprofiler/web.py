# SPDX-License-Identifier: Apache-2.0
"""HTTP: the headers that carry a trace along, and the WSGI middleware that joins it.

In: a request with whatever headers. Out: the application's answer, always; and, where the headers were signed with one
of the keys, a point from the call of the application until its body is closed. ``osprofiler.asgi`` keeps these rules.
"""

import io
import logging
import sys
from urllib.parse import quote

from osprofiler import _advice, _native, profiler
from osprofiler import _utils as utils

LOG = logging.getLogger(__name__)

# Trace keys that are required or optional, any other keys that are present will
# cause trace information to be rejected.
_REQUIRED_KEYS = ("base_id", "hmac_key")
_OPTIONAL_KEYS = ("parent_id",)

#: Http header that will contain the traces data.
X_TRACE_INFO = "X-Trace-Info"
#: Http header that will contain the traces data hmac.
X_TRACE_HMAC = "X-Trace-HMAC"
#: The header by which services with OpenTelemetry hand a trace on (W3C Trace Context). Nobody signs it.
TRACEPARENT = "traceparent"

_ENABLED = None
_HMAC_KEYS = None

# What the middleware takes beside the application.
_OPTIONS = ("hmac_keys", "enabled")

_ON = ("1", "on", "t", "true", "y", "yes")
_OFF = ("0", "f", "false", "n", "no", "none", "off")
_PATH_SAFE = "/~!$&'()*+,;=:@"


def get_trace_id_headers():
    """Return the headers of a call made inside the current point.

    Whoever gets them takes part in the trace, below this point. Costs one look at the context outside of a trace, about
    6 us inside.

    :returns: a dict of ``X-Trace-Info`` and ``X-Trace-HMAC``, and of ``traceparent`` where the notifier has an ``otlp://``
        store, so that services with OpenTelemetry go on with the trace; empty without a trace, without a key to sign
        with, and where ids or key are of types that no header can carry

    >>> from osprofiler import profiler
    >>> _ = profiler.init("SECRET", base_id="4e3e0ec6-2938-40b1-8504-09eb1d4b0dee")
    >>> sorted(get_trace_id_headers())
    ['X-Trace-HMAC', 'X-Trace-Info']
    >>> profiler.clean()
    >>> get_trace_id_headers()
    {}
    """
    current = profiler.get()
    if current is None:
        return {}
    try:
        if not current.hmac_key:
            return {}
        data = {"base_id": current.get_base_id(), "parent_id": current.get_id()}
        info, hmac = utils.signed_pack(data, current.hmac_key)
    except Exception as error:
        LOG.debug("a call carries no trace: %s", _native.safe_str(error))
        return {}
    headers = {X_TRACE_INFO: utils.binary_decode(info), X_TRACE_HMAC: hmac}
    traceparent = _native.traceparent(data["base_id"], data["parent_id"])
    if traceparent is not None:
        headers[TRACEPARENT] = traceparent
    return headers


def disable():
    """Turn every middleware of the process off, WSGI and ASGI, whatever its own settings say."""
    global _ENABLED
    _ENABLED = False


def enable(hmac_keys=None):
    """Turn every middleware of the process on, WSGI and ASGI, but for those whose api-paste says no.

    :param hmac_keys: keys that go before each middleware's own, a str of one or several between commas, or a list
    """
    global _ENABLED, _HMAC_KEYS
    _ENABLED = True
    _HMAC_KEYS = utils.split(hmac_keys or "")
    _advice.warn_of_default_key(_HMAC_KEYS)


def _said(enabled):
    """Return what a middleware's option ``enabled`` says: True, False, or ``None`` where it leaves that to others.

    Paste hands over what an ini file says as it stands, with what follows a `#`.
    """
    if not isinstance(enabled, str):
        return True if enabled else None
    word = enabled.partition("#")[0].partition(";")[0].strip().lower()
    if word in _ON or word in _OFF:
        return word in _ON
    if word:
        LOG.warning(
            "`enabled` of the profiler's middleware is ignored: it is `%s`, and one of %s is wanted",
            enabled,
            ", ".join(f"`{known}`" for known in (*_ON, *_OFF)),
        )
    return None


def _tell_unknown(names):
    """Tell which options of a middleware nobody knows: in a warning where one that there is was meant."""
    # Only here: a service whose options are known need not load it.
    import difflib

    others = []
    for name in names:
        meant = difflib.get_close_matches(name, _OPTIONS, 1)
        if meant:
            LOG.warning("`%s` of the profiler's middleware is ignored: did you mean `%s`?", name, meant[0])
        else:
            others.append(f"`{name}`")
    if others:
        LOG.debug("unknown options of the profiler's middleware are ignored: %s", ", ".join(others))


class _Middleware:
    """What WSGI and ASGI have in common: whether it is on, its keys, and which headers it follows."""

    def __init__(self, hmac_keys, enabled):
        said = _said(enabled)
        self.enabled = bool(said)
        self.hmac_keys = utils.split(hmac_keys or "")
        # A no in an ini file is the operator's, for this service; `enable` is the whole process's.
        self._is_refused = said is False
        if not self._is_off():
            _advice.warn_of_default_key(_HMAC_KEYS or self.hmac_keys)

    def _is_off(self):
        return self._is_refused or _ENABLED is False or (_ENABLED is None and not self.enabled)

    def _joined(self, info, hmac):
        """Return the arguments of ``profiler.init`` that the two headers ask for; ``None`` serves untraced."""
        if info is None or hmac is None or self._is_off():
            return None
        joined = _native.unpack_headers(info, hmac, _HMAC_KEYS or self.hmac_keys)
        if joined is None:
            LOG.debug("a request is not traced: its trace headers are malformed, or signed with none of `hmac_keys`")
        return joined


class WsgiMiddleware(_Middleware):
    """WSGI middleware that joins the trace that a request's headers name.

    The request is a point ``wsgi`` with ``request.path``, ``.query``, ``.method`` and ``.scheme``, and with
    ``.traceparent`` where that header names another span than the caller's point, until its body is closed. Headers
    that are missing, unsigned, larger than 8 KiB or malformed serve the request untraced; nothing in them fails it. A
    request that isn't traced costs about 0.3 us.

    :param application: the WSGI application
    :param hmac_keys: the keys of those who may trace, a str of one or several between commas, or a list; those that
        ``enable`` was given go first
    :param enabled: whether it is on, as long as neither ``enable`` nor ``disable`` was called; a str, as paste hands
        it over, is read as a word: one for no turns the middleware off for good, and one for neither yes nor no is
        ignored, which is told in a warning
    :param kwargs: further options are ignored, which is told in a debug line, and in a warning for each whose name is
        nearly that of one above
    :raises TypeError: for ``hmac_keys`` of another type

    >>> def application(environ, start_response):
    ...     start_response("200 OK", [])
    ...     return [b"served"]
    >>> application = WsgiMiddleware(application, hmac_keys="SECRET", enabled=True)
    """

    def __init__(self, application, hmac_keys=None, enabled=False, **kwargs):
        super().__init__(hmac_keys, enabled)
        self.application = application
        self.name = "wsgi"
        if kwargs:
            _tell_unknown(sorted(kwargs))

    @classmethod
    def factory(cls, global_conf, **local_conf):
        """Return what paste calls with an application, with the options of its section.

        :param global_conf: the options of paste's section ``DEFAULT``, which are not used
        :param local_conf: the arguments of the middleware, as texts
        """

        def filter_(app):
            return cls(app, **local_conf)

        return filter_

    def __call__(self, environ, start_response=None):
        """Serve a WSGI request, or answer a ``webob.Request``."""
        if start_response is None:
            try:
                return self._respond(environ)
            except BaseException as error:
                _native.hide_frame(error)
                raise
        joined = self._joined(environ.get("HTTP_X_TRACE_INFO"), environ.get("HTTP_X_TRACE_HMAC"))
        point = None
        try:
            if joined is not None:
                request = _linked(_request(environ), environ.get("HTTP_TRACEPARENT"), joined)
                point = _Point(self.name, joined, request)
            body = _call(self.application, environ, start_response)
        except BaseException as error:
            _native.hide_frame(error)
            if point is not None:
                point.end(error)
            raise
        if point is None:
            return body
        if _is_complete(body, environ):
            point.end()
            return body
        point.pause()
        return _Body(body, point)

    def _respond(self, request):
        """Answer a ``webob.Request`` with a response."""
        joined = self._joined(request.headers.get(X_TRACE_INFO), request.headers.get(X_TRACE_HMAC))
        point = None
        try:
            if joined is not None:
                told = _linked(_request_of(request), request.headers.get(TRACEPARENT), joined)
                point = _Point(self.name, joined, told)
            response = request.get_response(self.application)
        except BaseException as error:
            _native.hide_frame(error)
            if point is not None:
                point.end(error)
            raise
        if point is None:
            return response
        body = getattr(response, "app_iter", None)
        if body is None or _is_complete(body, request.environ):
            point.end()
            return response
        point.pause()
        # A new body takes the length of the old one away.
        length = response.content_length
        response.app_iter = _Body(body, point)
        response.content_length = length
        return response


def _request(environ):
    def text(name, default=""):
        value = environ.get(name, default)
        return value if isinstance(value, str) else profiler._safe_str(value)

    def path(name):
        return quote(text(name).encode("latin-1", "replace"), safe=_PATH_SAFE)

    return {
        "path": path("SCRIPT_NAME") + path("PATH_INFO"),
        "query": text("QUERY_STRING"),
        "method": text("REQUEST_METHOD", "GET"),
        "scheme": text("wsgi.url_scheme", "http"),
    }


def _request_of(request):
    def told(name):
        try:
            return getattr(request, name)
        except Exception:
            # A path that is no UTF-8, for one.
            return ""

    return {
        "path": told("path"),
        "query": told("query_string"),
        "method": told("method"),
        "scheme": told("scheme"),
    }


def _linked(request, traceparent, joined):
    """Return what a request's point tells, with the span that ``traceparent`` names unless it is the caller's point."""
    if traceparent is not None:
        span = _native.foreign_span(traceparent, joined["base_id"], joined.get("parent_id"))
        if span is not None:
            request[TRACEPARENT] = span
    return request


def _call(application, environ, start_response):
    """Return the application's answer; a ``webob.exc.HTTPException`` that it raises is one."""
    try:
        try:
            return application(environ, start_response)
        except Exception as error:
            exceptions = sys.modules.get("webob.exc")
            if exceptions is None or not isinstance(error, exceptions.HTTPException):
                raise
            answer = error
        return answer(environ, start_response)
    except BaseException as error:
        _native.hide_frame(error)
        raise


def _is_complete(body, environ):
    """Whether nothing of the application runs while the body is sent."""
    if isinstance(body, (list, tuple, bytes, io.IOBase)):
        return True
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


class _Point:
    """A request's point, in the context of whoever serves it, which may be left and entered again."""

    __slots__ = ("_around", "_inside", "_owns_trace", "_place", "_trace")

    def __init__(self, name, joined, request):
        self._around = _native.open_context()
        self._owns_trace = self._around is None
        try:
            profiler.init(**joined)
            self._trace = profiler.Trace(name, info={"request": request})
            self._trace.__enter__()
        except BaseException as error:
            # The server goes on without the request, so without its trace.
            _native.hide_frame(error)
            _native.enter_context(self._around)
            raise
        self._place = self._inside = _native.current_context()

    def pause(self):
        """Go back to the server's context; where the application has left its own is where it goes on."""
        self._inside = _native.current_context()
        _native.enter_context(self._around)

    def resume(self):
        """Enter the application's context."""
        self._around = _native.enter_context(self._inside)

    def close(self, error=None):
        """End the point, from wherever in it; the context stays, and what still follows there hangs below the point."""
        trace, self._trace = self._trace, None
        if trace is None:
            return
        here = _native.current_context()
        try:
            if error is None:
                trace.__exit__(None, None, None)
            else:
                trace.__exit__(type(error), error, error.__traceback__)
        finally:
            _native.enter_context(here)

    def end(self, error=None):
        """End the point, and with it the trace unless it was open before; the server's context goes on."""
        try:
            self.close(error)
            if self._owns_trace:
                # Whatever the application has left open, or entered.
                _native.enter_context(self._place)
                profiler.clean()
        finally:
            self._inside = None
            _native.enter_context(self._around)


class _Body:
    """A body that is still being made: its application runs inside the point, which ends when the body is closed."""

    __slots__ = ("__weakref__", "_body", "_iterator", "_point")

    def __init__(self, body, point):
        self._body = body
        self._iterator = None
        self._point = point

    def __iter__(self):
        return self

    def __next__(self):
        self._point.resume()
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            return next(self._iterator)
        except StopIteration:
            raise
        except BaseException as error:
            _native.hide_frame(error)
            self._point.close(error)
            raise
        finally:
            self._point.pause()

    def close(self):
        self._point.resume()
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            _native.hide_frame(error)
            self._point.close(error)
            raise
        finally:
            self._point.end()
