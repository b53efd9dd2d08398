# SPDX-License-Identifier: Apache-2.0
# Headers and the WSGI middleware: what its names take and give.

from collections.abc import Callable, Iterable, Sequence
from logging import Logger
from typing import Any, overload

from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOG: Logger

X_TRACE_INFO: str
X_TRACE_HMAC: str
TRACEPARENT: str

def get_trace_id_headers() -> dict[str, str]: ...
def disable() -> None: ...
def enable(hmac_keys: str | Sequence[str] | None = None) -> None: ...

class _Middleware:
    enabled: bool
    hmac_keys: list[str]
    def __init__(self, hmac_keys: str | Sequence[str] | None, enabled: bool | str | None) -> None: ...

class WsgiMiddleware(_Middleware):
    application: WSGIApplication
    name: str
    def __init__(
        self,
        application: WSGIApplication,
        hmac_keys: str | Sequence[str] | None = None,
        enabled: bool | str | None = False,
        **kwargs: Any,
    ) -> None: ...
    @classmethod
    def factory(cls, global_conf: Any, **local_conf: Any) -> Callable[[WSGIApplication], WsgiMiddleware]: ...
    @overload
    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]: ...
    # A `webob.Request`, which is answered with a response.
    @overload
    def __call__(self, environ: Any, start_response: None = None) -> Any: ...
