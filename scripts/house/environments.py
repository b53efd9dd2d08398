# SPDX-License-Identifier: Apache-2.0
"""Virtual environments: made once in the cache, copied beside the clone by hard links, our wheel swapped into the copy.

An environment in the cache is never changed after it was made: it holds upstream's profiler, which the tests compare
ours with. A copy is a whole environment of its own, so that swapping the wheel in is what it is for an operator: `pip
install --force-reinstall --no-deps`.
"""

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from house.ending import one_at_a_time
from house.places import REQUIREMENTS, cache, version_key
from house.process import run

READY = ".ready"
SWAPPED = ".wheel"


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def program(self, name: str) -> Path:
        """One of its programs."""
        return self.folder / "bin" / name


def cached(
    name: str, log: Path, *, constrained: bool = False, alone: bool = False, base: Environment | None = None
) -> Environment:
    """Return the environment with what `requirements/NAME.txt` lists, made on the first call.

    What is there `alone`, without the packages that it needs, is there to be read: it can't be run.
    """
    wanted = REQUIREMENTS / f"{name}.txt"
    constraints = [REQUIREMENTS / "constraints.txt"] if constrained else []
    below = base.folder.name if base else ""
    key = version_key(sys.version, sys.base_prefix, below, *(path.read_text() for path in [wanted, *constraints]))
    environment = Environment(cache() / "environments" / f"{name}-{key}")
    with one_at_a_time(environment.folder):
        if (environment.folder / READY).exists():
            return environment
        shutil.rmtree(environment.folder, ignore_errors=True)
        if base:
            copy(base, environment.folder)
        else:
            run([sys.executable, "-m", "venv", environment.folder], log)
        install = [environment.python, "-m", "pip", "install", "--disable-pip-version-check", "-r", wanted]
        install += [part for path in constraints for part in ("-c", path)]
        install += ["--no-deps", "--no-compile"] if alone else []
        run(install, log, what=f"installing {wanted.name}")
        (environment.folder / READY).touch()
    return environment


def is_cached(name: str) -> bool:
    """Say whether some version of the environment has been made already (it will be quick, then)."""
    return any((cache() / "environments").glob(f"{name}-*/{READY}"))


def copy(environment: Environment, folder: Path) -> Environment:
    """Return a copy of the environment in the folder; one that is there already and of the same origin is kept."""
    origin = folder / ".origin"
    if origin.exists() and origin.read_text() == str(environment.folder):
        return Environment(folder)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(environment.folder, folder, symlinks=True, copy_function=_link)
    for path in [*(folder / "bin").iterdir(), folder / "pyvenv.cfg"]:
        _move_home(path, environment.folder, folder)
    for mark in (origin, folder / READY, folder / SWAPPED):
        mark.unlink(missing_ok=True)  # a hard link still: writing through it would change the original
    origin.write_text(str(environment.folder))
    return Environment(folder)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _move_home(path: Path, old: Path, new: Path) -> None:
    """Let a script of the copy name the copy; the original's file, shared by a hard link, stays as it is."""
    if path.is_symlink() or not path.is_file():
        return
    content = path.read_bytes()
    if bytes(old) in content and b"\0" not in content:
        mode = path.stat().st_mode
        path.unlink()
        path.write_bytes(content.replace(bytes(old), bytes(new)))
        path.chmod(mode)


def swap_in(environment: Environment, wheel: Path, log: Path) -> None:
    """Replace the environment's profiler by our wheel, as an operator would; nothing to do when it is in already."""
    mark = environment.folder / SWAPPED
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if mark.exists() and mark.read_text() == digest:
        return
    mark.unlink(missing_ok=True)
    run(
        [
            environment.python,
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-index",
            "--force-reinstall",
            "--no-deps",
            wheel,
        ],
        log,
        what=f"swapping {wheel.name} in",
    )
    mark.write_text(digest)
