# SPDX-License-Identifier: Apache-2.0
"""The tools that must be there already: each that is missing or too old is told in a line, with its remedy."""

import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

from house.failure import Failure
from house.places import CLONE

REMEDIES = {
    "cargo": "install Rust from https://rustup.rs, and open a new shell",
    "cc": "install a C compiler, on Debian: apt install build-essential",
    "go": "install Go 1.22 or later from https://go.dev/dl",
    "java": "install a Java runtime 17 or later with its compiler, on Debian: apt install default-jdk-headless",
    "make": "install make, on Debian: apt install make",
    "mvn": "install Maven, on Debian: apt install maven",
}
PYTHON_OF_SERVICES = (3, 11)


# The least version of those that have one, and what tells it.
VERSIONS = {"go": (1, 22), "java": (17,)}
TELLS = {"cargo": ("rustc", "--version"), "go": ("go", "version"), "java": ("java", "-version")}
# How it stands there. Java's may be one number, with a date behind it and the options that it was given before it.
NUMBER = re.compile(r"(\d+(?:\.\d+)+)")
NUMBERS = {"java": re.compile(r'version "(\d+(?:\.\d+)*)')}


def need(*names: str) -> None:
    """Fail unless each of the tools is on PATH, and as new as is wanted."""
    for name in names:
        fault = _fault(name)
        if fault is not None:
            raise Failure(fault)


def lines(*names: str) -> list[str]:
    """Return a line for each tool: its version, or what is wrong with it."""
    return [f"  {name:<6} {_fault(name) or version(name) or 'is there'}" for name in names]


@cache
def version(name: str) -> str:
    """Return the version that a tool tells, nothing where it tells none."""
    words = TELLS.get(name, (name, "--version"))
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    found = NUMBERS.get(name, NUMBER).search(told.stdout + told.stderr)
    return found[1] if found else ""


def _fault(name: str) -> str | None:
    """Return what is wrong with a tool; nothing if nothing is."""
    if shutil.which(name) is None:
        return f"`{name}` is not on PATH: {REMEDIES[name]}"
    wanted = _rust_wanted() if name == "cargo" else VERSIONS.get(name, ())
    there = version(name) if wanted else ""
    if wanted and tuple(map(int, there.split(".") if there else ())) < wanted:
        least = ".".join(map(str, wanted))
        tool = "Rust" if name == "cargo" else f"`{name}`"
        remedy = "`rustup update` brings it" if name == "cargo" else REMEDIES[name]
        return f"{tool} {least} or later is wanted, and this is {there or 'of no version'}: {remedy}"
    return None


def _rust_wanted() -> tuple[int, ...]:
    """Return the version that the workspace names."""
    wanted = re.search(r'^rust-version = "([\d.]+)"$', (CLONE / "Cargo.toml").read_text(), re.MULTILINE)[1]
    return tuple(map(int, wanted.split(".")))


def need_environments() -> None:
    """Fail unless the running Python, whichever it is, can make environments: the wheel is built out of one."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise Failure("this Python has no `venv`: on Debian, apt install python3-venv")


def need_python_of_services() -> None:
    """Fail unless the running Python can make environments of services and compile what goes into them."""
    version = ".".join(map(str, PYTHON_OF_SERVICES))
    if sys.version_info < PYTHON_OF_SERVICES:
        raise Failure(
            f"Python {version} or later is wanted (Keystone 30 and Glance 33 ask for it), and this is "
            f"{sys.version.split()[0]}: name another, `make PYTHON=python{version}`"
        )
    need_environments()
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        raise Failure("this Python has no headers, and uWSGI is compiled: on Debian, apt install python3-dev")


def rust_version() -> str:
    """Return the version of the Rust compiler in use."""
    need("cargo")
    return version("cargo")
