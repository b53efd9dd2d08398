# SPDX-License-Identifier: Apache-2.0
# Places that are carried: what is carried keeps its type.

from collections.abc import Callable
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Executor = TypeVar("_Executor")

def carry(function: _Function) -> _Function: ...
def carry_executor(executor: _Executor) -> _Executor: ...
