# SPDX-License-Identifier: Apache-2.0
"""A copied environment is one of its own: what changes in it leaves the original as it was."""

import subprocess
import sys

import pytest

from house import environments
from house.environments import Environment


@pytest.fixture
def original(tmp_path) -> Environment:
    """Make an environment without pip, with one program and one module."""
    folder = tmp_path / "original"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    environment = Environment(folder)
    program = environment.program("where")
    program.write_text(f"#!{environment.python}\nimport sys\nprint(sys.prefix)\n")
    program.chmod(0o755)
    (folder / environments.READY).touch()
    (folder / ".origin").write_text("somewhere")
    return environment


def test_programs_of_a_copy_run_in_the_copy(original, tmp_path):
    """Their first line names the copy's interpreter."""
    copied = environments.copy(original, tmp_path / "copy")
    for environment in (original, copied):
        output = subprocess.run([environment.program("where")], capture_output=True, text=True, check=True).stdout
        assert output.strip() == str(environment.folder)


def test_a_copys_marks_are_its_own(original, tmp_path):
    """Files are shared by hard links, so a mark that was written through one would change the original."""
    copied = environments.copy(original, tmp_path / "copy")
    assert (copied.folder / ".origin").read_text() == str(original.folder)
    assert (original.folder / ".origin").read_text() == "somewhere"
    assert not (copied.folder / environments.READY).exists()


def test_a_copy_of_the_same_origin_is_kept(original, tmp_path):
    """The second run finds what the first one made, the swapped wheel included."""
    copied = environments.copy(original, tmp_path / "copy")
    mine = copied.folder / "mine"
    mine.touch()
    environments.copy(original, copied.folder)
    assert mine.exists()
