# SPDX-License-Identifier: Apache-2.0
"""A section's runner is counted also when it says nothing."""

import sys
from pathlib import Path

import pytest

from check.runner import run_check, run_tests
from check.tally import Tally
from house.failure import Failure

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


def test_a_failure_keeps_the_end_of_what_was_printed():
    """It is said again under the sum, where a person, or a log cut to its end, looks first."""
    program = "[print(n) for n in range(100)]; raise SystemExit(7)"
    (reason,) = run_check([sys.executable, "-c", program], {}).reasons
    assert reason.splitlines()[-1] == "99"
    assert "10" not in reason.splitlines()
    (reason,) = run_tests([sys.executable, "-c", program], {}).reasons
    assert reason.splitlines()[-2:] == ["99", f"{Path(sys.executable).name} ended with status 7"]
    assert run_check([sys.executable, "-c", ""], {}).reasons == []


def test_a_program_that_is_not_there_fails_its_section_only(tmp_path):
    """The sections after it still run."""
    with pytest.raises(Failure, match="is not there"):
        run_tests([tmp_path / "python"], {})


def test_a_check_is_one_test():
    """A formatter or a lint says yes or no."""
    assert run_check([sys.executable, "-c", ""], {}) == Tally(passed=1)
    assert run_check([sys.executable, "-c", "raise SystemExit(1)"], {}) == Tally(failed=1)
