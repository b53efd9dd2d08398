# SPDX-License-Identifier: Apache-2.0
"""The ASGI middleware, for services on Starlette, FastAPI and the like; whom it follows is as in ``osprofiler.web``.

In: a connection with whatever headers. Out: the application's messages, as they were; and, where the headers were
signed with one of the keys, a point from the call of the application until the last message of its answer. What still
runs in the application then, background tasks for instance, is below that point, and doesn't make it longer.
"""

from urllib.parse import quote

from osprofiler import _native, web

# Which messages end an answer; the body of a response may be several.
_CLOSING = frozenset(
    (
        "http.response.body",
        "http.response.pathsend",
        "http.response.zerocopysend",
        "websocket.close",
        "websocket.http.response.body",
    )
)


class AsgiMiddleware(web._Middleware):
    """ASGI middleware that joins the trace that a connection's headers name.

    An HTTP request, or a WebSocket from its opening to its end, is a point ``asgi`` with ``request.path``, ``.query``,
    ``.method``, ``.scheme`` and ``.traceparent``, as ``wsgi`` has them. ``osprofiler.web.enable`` and ``disable`` turn
    it on and off, too. Headers that are missing, unsigned, larger than 8 KiB or malformed serve the request untraced;
    nothing in them fails it. A request that isn't traced costs about 2 us.

    :param app: the ASGI application
    :param hmac_keys: the keys of those who may trace, a str of one or several between commas, or a list; those that
        ``osprofiler.web.enable`` was given go first
    :param enabled: whether it is on, as long as neither ``enable`` nor ``disable`` was called; a str is read as a word,
        as ``WsgiMiddleware`` does
    :raises TypeError: for ``hmac_keys`` of another type

    >>> async def app(scope, receive, send):
    ...     await send({"type": "http.response.start", "status": 200, "headers": []})
    ...     await send({"type": "http.response.body", "body": b"served"})
    >>> app = AsgiMiddleware(app, hmac_keys="SECRET", enabled=True)

    In FastAPI and Starlette: ``app.add_middleware(AsgiMiddleware, hmac_keys="SECRET", enabled=True)``.
    """

    def __init__(self, app, hmac_keys=None, enabled=False):
        super().__init__(hmac_keys, enabled)
        self.app = app
        self.name = "asgi"

    async def __call__(self, scope, receive, send):
        """Serve a connection."""
        joined = self._joined_by(scope)
        point = None

        async def send_inside(message):
            try:
                await send(message)
            except BaseException as error:
                _native.hide_frame(error)
                raise
            if _ends_answer(message):
                point.close()

        try:
            if joined is not None:
                traceparent = dict(scope["headers"]).get(web.TRACEPARENT.encode())
                point = web._Point(self.name, joined, web._linked(_request(scope), traceparent, joined))
            await self.app(scope, receive, send if point is None else send_inside)
        except BaseException as error:
            _native.hide_frame(error)
            if point is not None:
                point.end(error)
            raise
        if point is not None:
            point.end()

    def _joined_by(self, scope):
        if self._is_off() or scope.get("type") not in ("http", "websocket"):
            return None
        try:
            headers = dict(scope["headers"])
        except Exception:
            return None
        return self._joined(headers.get(b"x-trace-info"), headers.get(b"x-trace-hmac"))


def _ends_answer(message):
    try:
        return message.get("type") in _CLOSING and not message.get("more_body")
    except Exception:
        # What a message is, the server decides.
        return False


def _request(scope):
    raw_path = _text(scope.get("raw_path"))
    path = raw_path or quote(_text(scope.get("path")), web._PATH_SAFE, errors="replace")
    return {
        "path": path.partition("?")[0],
        "query": _text(scope.get("query_string")),
        # The request that opens a WebSocket has no other.
        "method": _text(scope.get("method", "GET")),
        "scheme": _text(scope.get("scheme", "http")),
    }


def _text(value):
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""
