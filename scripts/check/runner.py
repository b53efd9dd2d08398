# SPDX-License-Identifier: Apache-2.0
"""Running a section's programs in sight: what they print goes to the person, and its closing lines are counted."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from check import tally
from check.tally import Tally
from house.places import CLONE
from house.process import end_group
from house.progress import say


def run_tests(command: Sequence[str | Path], env: Mapping[str, str]) -> Tally:
    """Run a test runner; a failure that it didn't count, or a run without a test, is counted as one failed."""
    status, total = _run(command, env)
    if status != 0 and total.failed == 0:
        say(f"{Path(command[0]).name} ended with status {status}")
        total.failed = 1
    elif total == Tally():
        say(f"{Path(command[0]).name} ran no test")
        total.failed = 1
    return total


def run_check(command: Sequence[str | Path], env: Mapping[str, str]) -> Tally:
    """Run a program that says yes or no with its status; count it as one test."""
    status, _ = _run(command, env)
    return Tally(passed=1) if status == 0 else Tally(failed=1)


def _run(command: Sequence[str | Path], env: Mapping[str, str]) -> tuple[int, Tally]:
    words = [str(part) for part in command]
    say(f"$ {' '.join(words)}")
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
    total = Tally()
    try:
        for line in child.stdout:
            say(line.rstrip("\n"))
            total += tally.read(line)
        return child.wait(), total
    finally:
        end_group(child)
