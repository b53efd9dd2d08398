# SPDX-License-Identifier: Apache-2.0
"""Keystone and Glance with their data: prepared once in the cache, copied for each run, run and ended together.

The prepared data's catalogue names placeholders instead of addresses; a copy gets the addresses of its run, whose ports
the system chooses unless somebody asks for others.
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from types import ModuleType

from demo import accounts, glance, keystone
from demo.accounts import Account
from house.ending import one_at_a_time
from house.environments import Environment
from house.places import cache, version_key
from house.process import end_recorded
from house.waiting import free_port

READY = ".ready"


def prepared(environment: Environment) -> Path:
    """Return the folder in the cache with the data of a Keystone and a Glance of this environment, made once."""

    def make(folder: Path) -> None:
        lay_out(prepared_keystone(environment), folder)
        glance.prepare(environment, folder, folder / "prepare.log")
        add_account(environment, folder, glance.ACCOUNT)

    return once("images", environment, (keystone, glance, accounts), make)


def prepared_keystone(environment: Environment) -> Path:
    """Return the folder in the cache with the data of a Keystone alone."""
    return once(
        "keystone", environment, [keystone], lambda folder: keystone.prepare(environment, folder, folder / "log")
    )


def once(name: str, environment: Environment, modules: Iterable[ModuleType], make: Callable[[Path], None]) -> Path:
    """Return the folder in the cache that `make` has filled, which it does anew when a module's text has changed."""
    sources = [Path(module.__file__).read_text() for module in modules]
    folder = cache() / "clouds" / f"{name}-{environment.folder.name}-{version_key(*sources)}"
    with one_at_a_time(folder):
        if not (folder / READY).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            (folder / READY).touch()
    return folder


def lay_out(template: Path, folder: Path) -> None:
    """Let the folder hold a copy of prepared data and nothing else; end what an earlier run left running there."""
    for left_behind in folder.rglob("*.pid"):
        end_recorded(left_behind)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder, ignore=shutil.ignore_patterns(READY))


def add_account(environment: Environment, folder: Path, account: Account) -> None:
    """Let the Keystone whose data the folder holds know a service."""
    port = free_port()
    api = keystone.api(environment, folder, port, None)
    try:
        api.begin()
        api.await_ready()
        accounts.create(f"http://127.0.0.1:{port}/v3", account)
    finally:
        api.end()


def write_addresses(folder: Path, ports: Mapping[str, int]) -> None:
    """Let Keystone's catalogue name ports of the loopback where it names placeholders."""
    with closing(sqlite3.connect(folder / "keystone.db")) as database, database:
        for placeholder, port in ports.items():
            database.execute("UPDATE endpoint SET url = replace(url, ?, ?)", (placeholder, f"http://127.0.0.1:{port}"))


class Cloud:
    """A running Keystone and Glance that record into one store; a context manager that ends them."""

    def __init__(
        self,
        environment: Environment,
        template: Path,
        folder: Path,
        connection_string: str | None,
        *,
        keystone_port: int = 0,
        glance_port: int = 0,
    ):
        """Lay the data and the configuration out in the folder."""
        self.environment = environment
        self.folder = folder
        self.connection_string = connection_string
        lay_out(template, folder)
        ports = free_port(keystone_port), free_port(glance_port)
        self.keystone_url = f"http://127.0.0.1:{ports[0]}/v3"
        write_addresses(folder, {keystone.PLACEHOLDER: ports[0], glance.ACCOUNT.placeholder: ports[1]})
        self.keystone = keystone.api(environment, folder, ports[0], connection_string)
        self.glance = glance.api(environment, folder, ports[1], self.keystone_url, connection_string)
        self.apis = (self.keystone, self.glance)

    def __enter__(self) -> "Cloud":
        """Start both services, side by side; return when both answer."""
        self.start()
        return self

    def start(self) -> None:
        """Start both services, side by side; return when both answer."""
        try:
            for api in self.apis:
                api.begin()
            for api in self.apis:
                api.await_ready()
        except BaseException:
            self.end()
            raise

    def __exit__(self, *_) -> None:
        """End both services."""
        self.end()

    def end(self) -> None:
        """End what runs."""
        for api in reversed(self.apis):
            api.end()
