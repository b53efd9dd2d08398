# SPDX-License-Identifier: Apache-2.0
# The call at a service's start: what it takes.

from typing import Any

def init_from_conf(
    conf: Any,
    context: Any = None,
    project: str | None = None,
    service: str | None = None,
    host: str | None = None,
    contex: Any = None,
    **kwargs: Any,
) -> None: ...
