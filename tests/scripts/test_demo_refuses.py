# SPDX-License-Identifier: Apache-2.0
"""What `make demo` can't do without is said in one line, at once, with the remedy."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def demo(*arguments: str, status: int = 1, **variables: str) -> str:
    """Run the demo, which has to refuse; return what it says."""
    env = {**os.environ, "PYTHONPATH": str(SCRIPTS), **variables}
    command = [sys.executable, "-m", "demo", *arguments]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == status
    assert ended.stdout == ""
    return ended.stderr


def test_a_missing_tool(tmp_path):
    """Which, and where it is to be had."""
    told = demo(PATH=str(tmp_path))
    assert told == "failed: `cargo` is not on PATH: install Rust from https://rustup.rs, and open a new shell\n"


def test_a_port_in_use():
    """Before minutes are spent on building."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        told = demo("--glance-port", port)
    assert told == f"failed: port {port} is in use: end what listens there, or leave the choice to the system\n"


def test_a_store_that_it_does_not_know():
    """Those that it knows are named."""
    told = demo("--store", "excel", status=2)
    # Some versions of argparse quote what there is to choose from.
    assert "invalid choice: excel (choose from sqlite, mongodb" in told.replace("'", "")


@pytest.mark.parametrize("target", ["demo", "house", "check", "bench", "outage", "reference"])
def test_a_python_that_is_too_old(target):
    """Before anything is read that it could not read."""
    code = f"import sys; sys.version_info = (3, 9, 2); import runpy; runpy.run_module({target!r}, run_name='__main__')"
    env = {**os.environ, "PYTHONPATH": f"{SCRIPTS}:{SCRIPTS.parent / 'tests'}"}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    version = sys.version.split()[0]
    told = f"failed: Python 3.10 or later is wanted, and this is {version}: name another, `make PYTHON=python3.11`\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", told)
