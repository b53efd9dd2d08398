# SPDX-License-Identifier: Apache-2.0
"""Running a section's programs in sight: what they print goes to the person, and its closing lines are counted.

The end of what a failed program printed is kept, to be said again under the sum.
"""

import os
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from check import tally
from check.tally import Tally
from house.failure import LINES_SHOWN, Failure
from house.places import CLONE
from house.process import end_group
from house.progress import say


def run_tests(command: Sequence[str | Path], env: Mapping[str, str]) -> Tally:
    """Run a test runner; a failure that it didn't count, or a run without a test, is counted as one failed."""
    status, total, end = _run(command, env)
    if status != 0 and total.failed == 0:
        end.append(f"{Path(command[0]).name} ended with status {status}")
        say(end[-1])
        total.failed = 1
    elif total == Tally():
        end.append(f"{Path(command[0]).name} ran no test")
        say(end[-1])
        total.failed = 1
    if total.failed:
        total.reasons.append("\n".join(end))
    return total


def run_check(command: Sequence[str | Path], env: Mapping[str, str]) -> Tally:
    """Run a program that says yes or no with its status; count it as one test."""
    status, _, end = _run(command, env)
    return Tally(passed=1) if status == 0 else Tally(failed=1, reasons=["\n".join(end)])


def _run(command: Sequence[str | Path], env: Mapping[str, str]) -> tuple[int, Tally, list[str]]:
    """Run a program; return its status, what it counted, and the end of what it printed."""
    words = [str(part) for part in command]
    end = deque([f"$ {' '.join(words)}"], LINES_SHOWN)
    say(end[0])
    try:
        child = subprocess.Popen(
            words,
            cwd=CLONE,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError:
        raise Failure(f"`{words[0]}` is not there") from None
    total = Tally()
    try:
        for line in child.stdout:
            end.append(line.rstrip("\n"))
            say(end[-1])
            total += tally.read(line)
        return child.wait(), total, list(end)
    finally:
        end_group(child)
