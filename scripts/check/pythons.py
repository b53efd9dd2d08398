# SPDX-License-Identifier: Apache-2.0
"""The versions of Python that the package is built for: its native half has to compile for each, none need be there.

PyO3 is told in a file what an interpreter would say. No test runs under another version than the one that runs this.
"""

from pathlib import Path

# From `requires-python` in the package's pyproject.toml to the newest that PyO3 knows.
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def configurations(folder: Path) -> list[Path]:
    """Write a file for each version, and return them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for version in VERSIONS:
        files.append(folder / f"{version}.txt")
        files[-1].write_text(f"implementation=CPython\nversion={version}\nshared=true\npointer_width=64\n")
    return files
