# SPDX-License-Identifier: Apache-2.0
# The ASGI middleware: what it takes and gives.

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, TypeAlias

from osprofiler import web

# A connection's scope, and a message of it.
_Members: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Members]]
_Send: TypeAlias = Callable[[_Members], Awaitable[None]]
_Application: TypeAlias = Callable[[_Members, _Receive, _Send], Awaitable[None]]

class AsgiMiddleware(web._Middleware):
    app: _Application
    name: str
    def __init__(
        self,
        app: _Application,
        hmac_keys: str | Sequence[str] | None = None,
        enabled: bool | str | None = False,
    ) -> None: ...
    async def __call__(self, scope: _Members, receive: _Receive, send: _Send) -> None: ...
