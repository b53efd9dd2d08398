# SPDX-License-Identifier: Apache-2.0
# Options: what its names take and give. oslo.config has no types of its own, so its objects are of any.

from typing import Any

__all__ = [
    "disable_web_trace",
    "enable_web_trace",
    "is_db_trace_enabled",
    "is_trace_enabled",
    "list_opts",
    "set_defaults",
]

_profiler_opt_group: Any
_PROFILER_OPTS: list[Any]

def set_defaults(
    conf: Any,
    enabled: bool | None = None,
    trace_sqlalchemy: bool | None = None,
    hmac_keys: str | None = None,
    connection_string: str | None = None,
    es_doc_type: str | None = None,
    es_scroll_time: str | None = None,
    es_scroll_size: int | None = None,
    socket_timeout: float | None = None,
    sentinel_service_name: str | None = None,
    mask_secrets: bool | None = None,
) -> None: ...
def is_trace_enabled(conf: Any = None) -> bool: ...
def is_db_trace_enabled(conf: Any = None) -> bool: ...
def enable_web_trace(conf: Any = None) -> None: ...
def disable_web_trace(conf: Any = None) -> None: ...
def list_opts() -> list[tuple[str, list[Any]]]: ...
