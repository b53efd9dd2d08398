# SPDX-License-Identifier: Apache-2.0
"""A section's runner is counted also when it says nothing."""

import sys

import pytest

from check.runner import run_check, run_tests
from check.tally import Tally

RUNS = [
    ("print('2 passed in 0.1s')", Tally(passed=2)),
    ("print('2 passed, 1 failed in 0.1s'); raise SystemExit(1)", Tally(passed=2, failed=1)),
    ("print('2 passed in 0.1s'); raise SystemExit(3)", Tally(passed=2, failed=1)),
    ("print('no tests ran in 0.1s')", Tally(failed=1)),
]


@pytest.mark.parametrize(("program", "expected"), RUNS)
def test_a_run_that_failed_or_tested_nothing_is_a_failure(program, expected):
    """The status counts as well as the closing line."""
    assert run_tests([sys.executable, "-c", program], {}) == expected


def test_a_check_is_one_test():
    """A formatter or a lint says yes or no."""
    assert run_check([sys.executable, "-c", ""], {}) == Tally(passed=1)
    assert run_check([sys.executable, "-c", "raise SystemExit(1)"], {}) == Tally(failed=1)
