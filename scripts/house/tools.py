# SPDX-License-Identifier: Apache-2.0
"""The tools that must be there already: each missing one is told in a line, with its remedy."""

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from house.failure import Failure

REMEDIES = {
    "cargo": "install Rust from https://rustup.rs, and open a new shell",
    "cc": "install a C compiler, on Debian: apt install build-essential",
    "go": "install Go 1.22 or later from https://go.dev/dl",
    "java": "install a Java runtime 17 or later with its compiler, on Debian: apt install default-jdk-headless",
    "make": "install make, on Debian: apt install make",
    "mvn": "install Maven, on Debian: apt install maven",
    "node": "install Node.js 20 or later, on Debian: apt install nodejs",
}
PYTHON_WANTED = (3, 11)


def need(*names: str) -> None:
    """Fail unless each of the tools is on PATH."""
    for name in names:
        if shutil.which(name) is None:
            raise Failure(f"`{name}` is not on PATH: {REMEDIES[name]}")


def need_python() -> None:
    """Fail unless the running Python can make environments and compile what goes into them."""
    version = ".".join(map(str, PYTHON_WANTED))
    if sys.version_info < PYTHON_WANTED:
        raise Failure(
            f"Python {version} or later is wanted (Keystone 30 and Glance 33 ask for it), and this is "
            f"{sys.version.split()[0]}: name another, `make PYTHON=python{version}`"
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise Failure("this Python has no `venv`: on Debian, apt install python3-venv")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise Failure("this Python has no headers, and uWSGI is compiled: on Debian, apt install python3-dev")


def rust_version() -> str:
    """Return the version of the Rust compiler in use."""
    need("cargo")
    return subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
