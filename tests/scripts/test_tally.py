# SPDX-License-Identifier: Apache-2.0
"""What the closing lines of the runners add to the sum of `make test`."""

import pytest

from check import tally
from check.tally import Tally

LINES = [
    ("test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s", 12, 0),
    ("test result: FAILED. 11 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s", 11, 3),
    ("====== 3 passed in 1.20s ======", 3, 0),
    ("1 failed, 2 passed, 1 skipped, 4 warnings in 61.20s (0:01:01)", 2, 2),
    ("\033[32m7 passed\033[0m\033[32m in 0.20s\033[0m", 7, 0),
    ("2 passed, 1 xfailed, 1 error in 0.10s", 2, 2),
    ("# pass 5", 5, 0),
    ("# fail 1", 0, 1),
    ("# skipped 1", 0, 1),
    ("running 12 tests", 0, 0),
    ("I have passed 3 tests in 5s", 0, 0),
]


@pytest.mark.parametrize(("line", "passed", "failed"), LINES)
def test_a_line_adds(line, passed, failed):
    """Skipped, ignored, expected to fail, todo: each counts as failed."""
    assert tally.read(line) == Tally(passed, failed)
