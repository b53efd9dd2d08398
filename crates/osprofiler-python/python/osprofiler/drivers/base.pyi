# SPDX-License-Identifier: Apache-2.0
# Drivers: what they take and give. A driver of your own derives from `Driver`; a report is a dict.

from collections.abc import Iterable
from logging import Logger
from typing import Any

LOG: Logger

def get_driver(connection_string: str, *args: Any, **kwargs: Any) -> Driver: ...
def driver_class(connection_string: str) -> type[Driver]: ...

class Driver:
    default_trace_fields: frozenset[str]
    connection_str: str
    project: str | None
    service: str | None
    host: str | None
    filter_error_trace: bool
    result: dict[Any, dict[str, Any]]
    started_at: Any
    finished_at: Any
    last_started_at: Any
    def __init__(
        self,
        connection_str: str,
        project: str | None = None,
        service: str | None = None,
        host: str | None = None,
        **kwargs: Any,
    ) -> None: ...
    def notify(self, info: dict[str, Any], **kwargs: Any) -> None: ...
    def get_report(self, base_id: str) -> dict[str, Any]: ...
    @classmethod
    def get_name(cls) -> str: ...
    def list_traces(self, fields: Iterable[str] | None = None) -> list[dict[str, Any]]: ...
    def list_error_traces(self) -> list[dict[str, Any]]: ...
    @staticmethod
    def _build_tree(nodes: dict[Any, dict[str, Any]]) -> list[dict[str, Any]]: ...
    def _append_results(
        self,
        trace_id: Any,
        parent_id: Any,
        name: str,
        project: str | None,
        service: str | None,
        host: str | None,
        timestamp: str,
        raw_payload: dict[str, Any] | None = None,
    ) -> None: ...
    def _parse_results(self) -> dict[str, Any]: ...
