# SPDX-License-Identifier: Apache-2.0
"""Stores on real servers, seen from outside: what upstream wrote is read, what was written upstream reads.

The conformance suite says that a driver does what a driver has to; here is what only this store has: its layout beside
upstream's, its passwords and certificates, its faults.
"""

import os
import subprocess
from pathlib import Path

import pytest

from outage import stores, trial


@pytest.fixture(scope="session")
def upstream():
    """Return a function that runs Python beside upstream's profiler and its clients, and returns what it prints."""
    python = os.environ["OSPROFILER_UPSTREAM_STORES_PYTHON"]

    def run(text: str, *arguments: str, lines: str = "") -> str:
        done = subprocess.run(
            [python, "-c", text, *arguments], input=lines, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def command():
    """Return a function that runs the command and returns the finished process, with its texts; which is `program`."""
    program = Path(os.environ["OSPROFILER_BIN"])

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=120)

    run.program = program
    return run


def pytest_terminal_summary(terminalreporter):
    """Print the table of test_outages.py, whoever of several processes ran a row of it."""
    reports = [report for some in terminalreporter.stats.values() for report in some if hasattr(report, "when")]
    properties = [pair for report in reports if report.when == "call" for pair in report.user_properties]
    rows = [tuple(value) for name, value in properties if name == "outage"]
    if rows:
        terminalreporter.section("what became of what was sent during ten minutes of each fault")
        for line in trial.table(rows) + stores.untried(stores.NAMES):
            terminalreporter.write_line(line)
