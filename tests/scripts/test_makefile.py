# SPDX-License-Identifier: Apache-2.0
"""`make` alone lists every target with a line; what CI runs is `make test`."""

import re
import subprocess
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]


def test_make_lists_every_target():
    """The list is derived from the comments, so a target without one would be missing."""
    makefile = (CLONE / "Makefile").read_text()
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()) - {"help"}
    output = subprocess.run(["make", "--no-print-directory"], cwd=CLONE, capture_output=True, text=True, check=True)
    listed = dict(re.findall(r"^  make (\w+) +(\S.*)$", output.stdout, re.MULTILINE))
    assert set(listed) == targets


def test_ci_runs_what_everybody_runs():
    """One command."""
    assert "exec make test" in (CLONE / ".ci" / "run").read_text()
