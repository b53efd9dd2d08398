# SPDX-License-Identifier: Apache-2.0
# Points round the RPC of oslo.messaging: they are turned on and off.

from logging import Logger

LOG: Logger

def enable() -> None: ...
def keep_workers_apart() -> None: ...
def disable() -> None: ...
