# SPDX-License-Identifier: Apache-2.0
"""Upstream's own unit tests, out of the wheel of upstream's environment, against a copy of our installed package.

What comes in is a package and the folder of tests that is laid beside it; out comes each outcome, as stestr tells it.
The tests that fail on ours are lines of `unkept.txt`, each with its reason: one more or one less is a failure.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

OURS = os.environ["OSPROFILER_PYTHON"]
UPSTREAM = os.environ["OSPROFILER_UPSTREAM_PYTHON"]
#: Of the 145 that pass in upstream's repository. One of them is about its documentation, which the wheel doesn't have.
PASS_ON_UPSTREAM = 144
LEAST_PASSED = 110
OUTCOME = re.compile(r"^\{\d+\} (\S+) .*\.\.\. (ok|FAILED|SKIPPED)", re.MULTILINE)


def package(python: str) -> Path:
    """Return the folder of the package that an interpreter imports."""
    code = "import osprofiler; print(osprofiler.__path__[0])"
    return Path(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip())


def outcomes(python: str, scratch: Path) -> dict[str, str]:
    """Run upstream's tests against the interpreter's package; return each one's outcome by its name."""
    shutil.copytree(package(python), scratch / "osprofiler", ignore=shutil.ignore_patterns("tests", "__pycache__"))
    shutil.copytree(package(UPSTREAM) / "tests", scratch / "osprofiler" / "tests")
    ran = subprocess.run(
        [Path(python).with_name("stestr"), "--test-path", "osprofiler/tests/unit", "--top-dir", ".", "run", "--serial"],
        cwd=scratch,
        env={**os.environ, "PYTHONPATH": str(scratch)},
        capture_output=True,
        text=True,
        check=False,
    )
    (scratch / "output.txt").write_text(ran.stdout + ran.stderr)
    # A module that cannot be imported is one failed test.
    return {name.removeprefix("unittest.loader._FailedTest."): outcome for name, outcome in OUTCOME.findall(ran.stdout)}


def named(results: dict[str, str], outcome: str) -> set[str]:
    """Return the names of the tests with an outcome, without what they all begin with."""
    return {name.removeprefix("osprofiler.tests.unit.") for name, its in results.items() if its == outcome}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the outcomes with our package."""
    return outcomes(OURS, tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the outcomes with upstream's, which show that the way of running them is right."""
    return outcomes(UPSTREAM, tmp_path_factory.mktemp("theirs"))


def unkept() -> dict[str, str]:
    """Return the tests that are not kept, each with its reason."""
    lines = Path(__file__).with_name("unkept.txt").read_text().splitlines()
    pairs = [line.split(" | ", 1) for line in lines if line and not line.startswith("#")]
    return {name: reason for name, reason in pairs if reason.strip()}


def test_upstreams_package_passes_its_tests(theirs: dict[str, str]) -> None:
    """Otherwise a failure of ours might be the way we run them."""
    assert named(theirs, "FAILED") == {"doc.test_specs"}
    assert len(named(theirs, "ok")) == PASS_ON_UPSTREAM


def test_our_package_fails_just_those_with_a_reason(ours: dict[str, str]) -> None:
    """A test that is kept from now on leaves the list; one that is lost needs a reason in it, or a repair."""
    failed, expected = named(ours, "FAILED"), set(unkept())
    assert (sorted(failed - expected), sorted(expected - failed)) == ([], [])


def test_most_are_kept(ours: dict[str, str], theirs: dict[str, str], capsys: pytest.CaptureFixture) -> None:
    """None is missing from the run, and enough of those that pass on upstream pass on ours. The others are listed."""
    assert ours.keys() == theirs.keys()
    passed_on_upstream = named(theirs, "ok")
    kept = named(ours, "ok") & passed_on_upstream
    with capsys.disabled():
        print(f"\n  {len(kept)} of the {len(passed_on_upstream)} that pass on upstream pass on ours. The others:")
        for name in sorted(passed_on_upstream - kept):
            print(f"  {name}: {unkept().get(name, 'no reason is known')}")
    assert len(kept) >= LEAST_PASSED
