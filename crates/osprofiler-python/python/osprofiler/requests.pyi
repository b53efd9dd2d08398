# SPDX-License-Identifier: Apache-2.0
# Points round the requests of `requests`: they are turned on and off. `send` stands in the place of its adapter's.

from logging import Logger
from typing import Any

LOG: Logger

def enable() -> None: ...
def disable() -> None: ...
def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any: ...
