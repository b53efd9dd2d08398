# SPDX-License-Identifier: Apache-2.0
"""A small file system that is filled and freed: a tmpfs on a folder until the end of the `with`. It takes root."""

import errno
import subprocess
from pathlib import Path

from house.failure import Failure


class SmallDisk:
    """A file system of some MiB at a folder."""

    def __init__(self, folder: Path, mib: int):
        """Describe it; the folder is made."""
        self.folder = folder
        self.mib = mib

    def __enter__(self) -> "SmallDisk":
        """Mount it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={self.mib}m", "tmpfs", self.folder]
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            raise Failure(f"a small disk is a tmpfs, which root may mount: {mounted.stderr.strip()}")
        return self

    def __exit__(self, *_) -> None:
        """Unmount it, whoever still uses it."""
        subprocess.run(["umount", "--lazy", self.folder], check=True)

    def fill(self) -> None:
        """Leave no byte of it free."""
        with self._filling.open("wb", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                while _fits(file, size):
                    pass

    def free(self) -> None:
        """Take back what filled it."""
        self._filling.unlink()

    @property
    def _filling(self) -> Path:
        return self.folder / "filling"


def _fits(file, size: int) -> bool:
    try:
        return file.write(b"x" * size) == size
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
