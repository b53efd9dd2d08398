# SPDX-License-Identifier: Apache-2.0
# Points round the requests of `urllib3`: they are turned on and off.

from logging import Logger

LOG: Logger

def enable() -> None: ...
def disable() -> None: ...
