# SPDX-License-Identifier: Apache-2.0
"""Debian's packages that tests need: installed when absent and we may, else told in one line."""

import os
import shutil
import subprocess
from pathlib import Path

from house.failure import Failure
from house.process import run

PACKAGES = {"chromium": "chromium", "redis-server": "redis-server", "node": "nodejs"}


def ensure(log: Path) -> None:
    """Install the packages whose programs are absent; start no daemon."""
    absent = sorted({package for program, package in PACKAGES.items() if shutil.which(program) is None})
    if not absent:
        return
    become = _become_root()
    if shutil.which("apt-get") is None or become is None:
        raise Failure(f"the tests need {', '.join(absent)}: on Debian, apt install {' '.join(absent)}")
    env = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"]
    run([*become, *env, "apt-get", "update", "-q"], log, what="apt-get update")
    install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *absent]
    run([*become, *env, *install], log, what=f"installing {', '.join(absent)}")


def _become_root() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True).returncode == 0
    ):
        return ["sudo", "-n"]
    return None
