# SPDX-License-Identifier: Apache-2.0
"""The machine that a document is followed on: it looks like one with OpenStack, and what is done to it is forgotten.

Scratch folders are mounted over `/etc`, `/var/lib` and others, so commands run as they are written. There are the
services from PyPI with upstream's profiler, a Keystone and a Glance that `systemctl` starts, users that services have,
and the credentials of the administrator. The working directory is the clone, but new files stay out of it.
"""

import ctypes
import os
import pickle
import shutil
import sys
from pathlib import Path

from demo import cloud
from demo.client import Client
from house import environments
from house.environments import Environment
from house.failure import Failure
from house.places import CLONE, DIST, TARGET
from house.process import end_recorded, run

CLONE_NEWNS = 0x00020000
REPLACED = ("/etc", "/srv", "/usr/local/share/man", "/var/lib", "/var/log", "/var/tmp")
USERS = ("cinder", "glance", "keystone", "neutron", "nova")
# systemd runs in no container: this one knows `restart`, and restarts the service's real process.
SYSTEMCTL = """#!{python}
import pickle, sys
sys.path.insert(0, {scripts!r})
with open({units!r}, "rb") as file:
    units = pickle.load(file)
assert sys.argv[1] == "restart", sys.argv
for name in sys.argv[2:]:
    units[name].begin()
for name in sys.argv[2:]:
    units[name].await_ready()
"""


def enter_namespace() -> None:
    """Give this process mounts of its own: nobody else sees what it mounts, and all of it ends with the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        why = os.strerror(ctypes.get_errno())
        raise Failure(f"documents are followed with folders mounted over `/etc` and others: {why}; run as root")
    _mount("--make-rprivate", "/")


class Machine:
    """A machine for one document; a context manager that ends its services and puts the folders back."""

    def __init__(self, name: str, origin: Environment, template: Path):
        """Describe it; `origin` is the environment with the services, `template` their prepared data."""
        self.folder = TARGET / "documents" / name
        self.origin = origin
        self.template = template
        self.clone = self.folder / "clone"
        self.log = self.folder / "machine.log"

    def __enter__(self) -> "Machine":
        """Lay everything out; end what an earlier run, killed, left behind."""
        self._end_services()
        shutil.rmtree(self.folder, ignore_errors=True)
        environment = environments.copy(self.origin, self.folder / "environment")
        services = cloud.Cloud(environment, self.template, self.folder / "cloud", None)
        self._write_systemctl(services)
        self._link_clone()
        self._write_paths(environment, services.folder)
        for replaced in map(Path, REPLACED):
            new = self.folder / replaced.name
            new.mkdir(exist_ok=True)
            _mount("--bind", new, replaced)
        path = os.pathsep.join([str(self.folder / "bin"), str(environment.folder / "bin"), os.environ["PATH"]])
        ours = {
            name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PYTHON", "OSPROFILER_"))
        }
        credentials = {name: value for name, value in Client(services).env.items() if name.startswith("OS_")}
        # What builds is the Python that `make` finds; with another one everything would be built once more.
        python = os.environ.get("PYTHON") or shutil.which("python3")
        self.env = {
            **ours,
            **credentials,
            "PATH": path,
            "PYTHON": python,
            # At a terminal what a program prints and what it has to say come in their order.
            "PYTHONUNBUFFERED": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        return self

    def __exit__(self, *_) -> None:
        """End what runs, and show the machine's own folders again."""
        self._end_services()
        for replaced in REPLACED:
            run(["umount", replaced], self.log)

    def _end_services(self) -> None:
        for pid_file in (self.folder / "cloud").glob("*.pid"):
            end_recorded(pid_file)

    def _write_systemctl(self, services: cloud.Cloud) -> None:
        units = self.folder / "units"
        units.write_bytes(pickle.dumps({"keystone": services.keystone, "glance-api": services.glance}))
        program = self.folder / "bin" / "systemctl"
        program.parent.mkdir()
        program.write_text(SYSTEMCTL.format(python=sys.executable, scripts=str(CLONE / "scripts"), units=str(units)))
        program.chmod(0o755)

    def _link_clone(self) -> None:
        self.clone.mkdir()
        DIST.mkdir(exist_ok=True)
        for entry in CLONE.iterdir():
            (self.clone / entry.name).symlink_to(entry)

    def _write_paths(self, environment: Environment, data: Path) -> None:
        etc = self.folder / "etc"
        shutil.copytree("/etc", etc, symlinks=True, ignore=shutil.ignore_patterns("keystone", "glance"))
        shutil.copy(environment.folder / "etc" / "glance" / "glance-api-paste.ini", data)
        for service, log in (("keystone", "keystone.log"), ("glance", "glance-api.log")):
            (etc / service).symlink_to(data)
            (self.folder / "log" / service).mkdir(parents=True)
            (self.folder / "log" / service / log).symlink_to(data / f"{service}.log")
        for number, name in enumerate(USERS, 64000):
            with (etc / "passwd").open("a") as passwd, (etc / "group").open("a") as group:
                passwd.write(f"{name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n")
                group.write(f"{name}:x:{number}:\n")


def _mount(*arguments: str | Path) -> None:
    run(["mount", *arguments], TARGET / "documents" / "mount.log")
