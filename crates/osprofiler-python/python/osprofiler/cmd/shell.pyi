# SPDX-License-Identifier: Apache-2.0
# The command, called from Python: what its names take and give.

from collections.abc import Iterable

class OSProfilerShell:
    status: int
    def __init__(self, argv: list[str]) -> None: ...

def main(args: Iterable[str] | None = None) -> int | None: ...
