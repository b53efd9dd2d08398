# SPDX-License-Identifier: Apache-2.0
# The profiler: what its names take and give. A decorated function keeps its type. A test holds this against the module.

from collections.abc import Callable
from typing import Any, TypeVar

from osprofiler._native import Trace as Trace
from osprofiler._native import _Profiler as _Profiler
from osprofiler._native import clean as clean
from osprofiler._native import get as get
from osprofiler._native import init as init
from osprofiler._native import start as start
from osprofiler._native import stop as stop

__all__ = [
    "Trace",
    "TracedMeta",
    "_Profiler",
    "clean",
    "get",
    "init",
    "start",
    "stop",
    "trace",
    "trace_cls",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Owner = TypeVar("_Owner")

def trace(
    name: str,
    info: dict[str, Any] | None = None,
    hide_args: bool = False,
    hide_result: bool = True,
    allow_multiple_trace: bool = True,
) -> Callable[[_Function], _Function]: ...
def trace_cls(
    name: str,
    info: dict[str, Any] | None = None,
    hide_args: bool = False,
    hide_result: bool = True,
    trace_private: bool = False,
    allow_multiple_trace: bool = True,
    trace_class_methods: bool = False,
    trace_static_methods: bool = False,
) -> Callable[[_Owner], _Owner]: ...

class TracedMeta(type):
    def __init__(cls, cls_name: str, bases: tuple[type, ...], attrs: dict[str, Any]) -> None: ...
