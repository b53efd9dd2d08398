# SPDX-License-Identifier: Apache-2.0
"""Keystone and Glance with their data: prepared once in the cache, copied for each run, run and ended together.

The prepared data's catalogue names placeholders instead of addresses; a copy gets the addresses of its run, whose ports
the system chooses unless somebody asks for others.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from demo import accounts, glance, keystone
from house.ending import one_at_a_time
from house.environments import Environment
from house.places import cache, version_key
from house.process import end_recorded
from house.waiting import free_port

READY = ".ready"


def prepared(environment: Environment) -> Path:
    """Return the folder in the cache with the data of a Keystone and a Glance of this environment, made once."""
    sources = [Path(module.__file__).read_text() for module in (keystone, glance, accounts)]
    origin = environment.folder.name
    folder = cache() / "clouds" / f"{origin}-{version_key(*sources)}"
    with one_at_a_time(folder):
        if not (folder / READY).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            _prepare(environment, folder)
            (folder / READY).touch()
    return folder


def _prepare(environment: Environment, folder: Path) -> None:
    log = folder / "prepare.log"
    keystone.prepare(environment, folder, log)
    glance.prepare(environment, folder, log)
    port = free_port()
    api = keystone.api(environment, folder, port, None)
    try:
        api.begin()
        api.await_ready()
        accounts.create(f"http://127.0.0.1:{port}/v3")
    finally:
        api.end()


class Cloud:
    """A running Keystone and Glance that record into one store; a context manager that ends them."""

    def __init__(
        self,
        environment: Environment,
        template: Path,
        folder: Path,
        connection_string: str,
        *,
        keystone_port: int = 0,
        glance_port: int = 0,
    ):
        """Lay the data and the configuration out in the folder."""
        self.environment = environment
        self.folder = folder
        self.connection_string = connection_string
        for left_behind in folder.glob("*.pid"):
            end_recorded(left_behind)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(template, folder)
        ports = free_port(keystone_port), free_port(glance_port)
        self.keystone_url = f"http://127.0.0.1:{ports[0]}/v3"
        self._write_addresses(*ports)
        self.keystone = keystone.api(environment, folder, ports[0], connection_string)
        self.glance = glance.api(environment, folder, ports[1], self.keystone_url, connection_string)
        self.apis = (self.keystone, self.glance)

    def _write_addresses(self, keystone_port: int, glance_port: int) -> None:
        addresses = {keystone.PLACEHOLDER: keystone_port, glance.PLACEHOLDER: glance_port}
        with closing(sqlite3.connect(self.folder / "keystone.db")) as database, database:
            for placeholder, port in addresses.items():
                database.execute(
                    "UPDATE endpoint SET url = replace(url, ?, ?)", (placeholder, f"http://127.0.0.1:{port}")
                )

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
