# SPDX-License-Identifier: Apache-2.0
"""How many tests passed and failed, read from what the runners print; a skipped test counts as failed."""

import re
from dataclasses import dataclass, field

CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;")
PYTEST = re.compile(r"^(?:=+ )?((?:\d+ \w+(?:, )?)+) in [\d.]+s")
NODE = re.compile(r"^# (pass|fail|cancelled|skipped|todo) (\d+)$")
COLOURS = re.compile(r"\033\[[0-9;]*m")
GOOD = {"passed", "pass"}
NEITHER = {"warning", "warnings"}


@dataclass
class Tally:
    """Tests counted so far, and for the person what the failures had to say: texts of some lines."""

    passed: int = 0
    failed: int = 0
    reasons: list[str] = field(default_factory=list, compare=False)

    def __add__(self, other: "Tally") -> "Tally":
        """Add two counts."""
        return Tally(self.passed + other.passed, self.failed + other.failed, self.reasons + other.reasons)

    def __str__(self) -> str:
        """Say both numbers, as the last line of `make test` does."""
        return f"{self.passed} passed, {self.failed} failed"


def read(line: str) -> Tally:
    """Return what a line of a runner's output adds: nothing, unless it is one that closes a run."""
    line = COLOURS.sub("", line).strip()
    if found := CARGO.match(line):
        passed, failed, ignored = map(int, found.groups())
        return Tally(passed, failed + ignored)
    if found := NODE.match(line):
        return _one(found[1], int(found[2]))
    if found := PYTEST.match(line):
        total = Tally()
        for part in found[1].split(", "):
            count, outcome = part.split()
            total += _one(outcome, int(count))
        return total
    return Tally()


def _one(outcome: str, count: int) -> Tally:
    if outcome in NEITHER:
        return Tally()
    return Tally(passed=count) if outcome in GOOD else Tally(failed=count)
