# SPDX-License-Identifier: Apache-2.0
"""Debian's packages that tests need: installed when absent and we may, else told in one line; no daemon starts.

A package that brings a daemon asks `policy-rc.d` before it starts one. Where an administrator has none, ours stands
there while packages are installed, and says no.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path

from house.failure import Failure
from house.process import run

# A program that the package brings, and the package. The `-core` packages bring MariaDB's programs and no daemon.
PACKAGES = {
    "chromium": "chromium",
    "initdb": "postgresql",
    "javac": "default-jdk-headless",
    "mariadb-install-db": "mariadb-server-core",
    "mariadbd": "mariadb-server-core",
    "my_print_defaults": "mariadb-client-core",
    "mvn": "maven",
    "qemu-img": "qemu-utils",
    "rabbitmq-server": "rabbitmq-server",
    "redis-server": "redis-server",
}
POLICY = Path("/usr/sbin/policy-rc.d")
SAYS_NO = "exit 101"


def ensure(log: Path, programs: Iterable[str] = PACKAGES) -> None:
    """Install the packages of those programs that are absent; start no daemon."""
    absent = sorted({PACKAGES[program] for program in programs if find(program) is None})
    if not absent:
        return
    become = _become_root()
    if shutil.which("apt-get") is None or become is None:
        raise Failure(f"there is no {', '.join(absent)}: on Debian, apt install {' '.join(absent)}")
    env = ["env", "DEBIAN_FRONTEND=noninteractive"]
    run([*become, *env, "apt-get", "update", "-q"], log, what="apt-get update")
    install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *absent]
    with _no_daemon(become, log):
        run([*become, *env, *install], log, what=f"installing {', '.join(absent)}")


def find(program: str) -> str | None:
    """Return where a program is; daemons lie in folders that not everybody's PATH names."""
    folders = [
        os.environ.get("PATH", os.defpath),
        "/usr/sbin",
        *sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True),
    ]
    return shutil.which(program, path=":".join(folders))


@contextmanager
def _no_daemon(become: list[str], log: Path) -> Iterator[None]:
    """Let `policy-rc.d` say no for as long as the block lasts; one that is there already is the administrator's."""
    if POLICY.exists():
        yield
        return
    write = f"printf '#!/bin/sh\\n{SAYS_NO}\\n' > {POLICY} && chmod 755 {POLICY}"
    run([*become, "sh", "-c", write], log, what=f"writing {POLICY}")
    try:
        yield
    finally:
        run([*become, "rm", "-f", POLICY], log, what=f"removing {POLICY}")


def _become_root() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True).returncode == 0
    ):
        return ["sudo", "-n"]
    return None
