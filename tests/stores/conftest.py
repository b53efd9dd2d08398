# SPDX-License-Identifier: Apache-2.0
"""Stores on real servers, seen from outside: what upstream wrote is read, what was written upstream reads.

The conformance suite says that a driver does what a driver has to; here is what only this store has: its layout beside
upstream's, its passwords and certificates, its faults.
"""

import os
import subprocess
from pathlib import Path

import pytest


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
    """Return a function that runs the command and returns the finished process, with its texts."""
    program = Path(os.environ["OSPROFILER_BIN"])

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=120)

    return run
