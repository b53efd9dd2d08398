# SPDX-License-Identifier: Apache-2.0
"""Our reports beside upstream's.

The command is named in OSPROFILER_BIN, the interpreter of the environment with upstream's profiler in
OSPROFILER_UPSTREAM_PYTHON. Upstream reports on all traces in one run, since starting it takes longest.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import random_traces


@pytest.fixture(scope="session")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with all traces, upstream's report beside each."""
    folder = tmp_path_factory.mktemp("traces")
    for path in random_traces.RECORDED:
        shutil.copy(path, folder)
        # As Redis gives them: newest first.
        newest_first = path.read_text(encoding="utf-8").splitlines(keepends=True)[::-1]
        (folder / f"{path.stem}-newest-first.jsonl").write_text("".join(newest_first), encoding="utf-8")
    for name, events in random_traces.traces():
        (folder / f"{name}.jsonl").write_text(random_traces.lines(events), encoding="utf-8")
    script = Path(__file__).with_name("upstream_report.py")
    subprocess.run([os.environ["OSPROFILER_UPSTREAM_PYTHON"], script, folder], check=True)
    return folder


@pytest.fixture(scope="session")
def ours() -> Callable[[Path], str]:
    """Return the function that makes our report of a file."""

    def report(path: Path) -> str:
        command = [os.environ["OSPROFILER_BIN"], "trace", "show", path, "--json"]
        shown = subprocess.run(command, capture_output=True, check=True, encoding="utf-8")
        return shown.stdout.removesuffix("\n")

    return report
