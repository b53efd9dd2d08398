# SPDX-License-Identifier: Apache-2.0
"""Keystone and Cinder with their data: prepared once in the cache, copied for each run, run and ended together.

Keystone is the demo's. Cinder's three processes share a MariaDB, whose prepared data is a folder like any other, and a
RabbitMQ, which starts with nothing.
"""

import contextlib
import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import cinder_processes
from cinder_processes import ACCOUNT

from demo import accounts, cloud, keystone
from demo.accounts import Identity
from house.environments import Environment
from house.failure import Failure
from house.waiting import free_port, wait_until
from servers import mariadb
from servers.mariadb import MariaDB
from servers.rabbitmq import RabbitMQ

WORKERS = ("cinder-scheduler", "cinder-volume")
SECONDS = 120
NO_HEADERS: Mapping[str, str] = {}


def prepared(environment: Environment) -> Path:
    """Return the folder in the cache with the data of a Keystone and a Cinder of this environment, made once."""

    def make(folder: Path) -> None:
        cloud.lay_out(cloud.prepared_keystone(environment), folder)
        with MariaDB(folder / "mariadb", ACCOUNT.name) as database:
            cinder_processes.prepare(environment, folder, database.url, folder / "prepare.log")
        cloud.add_account(environment, folder, ACCOUNT)

    return cloud.once("volumes", environment, (keystone, accounts, cinder_processes, mariadb), make)


class Volumes:
    """A running Keystone and Cinder that record into one store; a context manager that ends them."""

    def __init__(self, environment: Environment, template: Path, folder: Path, connection_string: str):
        """Lay the data out in the folder."""
        self.environment = environment
        self.folder = folder
        self.connection_string = connection_string
        cloud.lay_out(template, folder)
        self.database = MariaDB(folder / "mariadb", ACCOUNT.name)
        self.messages = RabbitMQ(folder / "rabbitmq")
        ports = free_port(), free_port()
        self.keystone_url = f"http://127.0.0.1:{ports[0]}/v3"
        self.url = f"http://127.0.0.1:{ports[1]}/v3"
        cloud.write_addresses(folder, {keystone.PLACEHOLDER: ports[0], ACCOUNT.placeholder: ports[1]})
        cinder_processes.configure(
            environment,
            folder,
            keystone=self.keystone_url,
            database=self.database.url,
            messages=self.messages.url,
            store=connection_string,
        )
        self.keystone = keystone.api(environment, folder, ports[0], connection_string)
        self.api = cinder_processes.api(environment, folder, ports[1])
        self.workers = [cinder_processes.worker(name, environment, folder) for name in WORKERS]
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> "Volumes":
        """Start everything, services side by side; return when the scheduler knows of the volume manager."""
        with contextlib.ExitStack() as ending:
            ending.enter_context(self.database)
            ending.enter_context(self.messages)
            for api in (self.keystone, self.api):
                ending.callback(api.end)
                api.begin()
            for worker in self.workers:
                ending.callback(worker.end)
                worker.begin()
            for api in (self.keystone, self.api):
                api.await_ready()
            self.log_in()
            for worker in self.workers:
                worker.await_ready(lambda name=worker.name: self._is_up(name), SECONDS)
            self.workers[-1].await_ready(self._has_room, SECONDS)
            self._ending = ending.pop_all()
        return self

    def log_in(self) -> None:
        """Get a token that Cinder has not asked Keystone about yet: it remembers the answer."""
        self.identity = Identity(self.keystone_url)

    def __exit__(self, *_) -> None:
        """End everything, in the opposite order."""
        self._ending.close()

    def _is_up(self, binary: str) -> bool:
        found = self.get("os-services")["services"]
        return any((service["binary"], service["state"]) == (binary, "up") for service in found)

    def _has_room(self) -> bool:
        """Say whether the scheduler has heard of room for volumes; what is told before it listens is told again."""
        return bool(self.get("scheduler-stats/get_pools")["pools"])

    def get(self, path: str, headers: Mapping[str, str] = NO_HEADERS) -> dict:
        """Return what Cinder's API answers the administrator."""
        return self._call(path, None, headers)

    def create(self, name: str) -> None:
        """Create a volume of 1 GiB without profiling, and wait until it can be used."""
        self._call("volumes", {"volume": {"name": name, "size": 1}}, NO_HEADERS)
        self.await_available(name)

    def _call(self, path: str, body: object, headers: Mapping[str, str]) -> dict:
        url = f"{self.url}/{self.identity.project}/{path}"
        data = None if body is None else json.dumps(body).encode()
        told = {"Content-Type": "application/json", "X-Auth-Token": self.identity.token, **headers}
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(urllib.request.Request(url, data, told), timeout=SECONDS) as answer:
            return json.load(answer)

    def await_available(self, name: str) -> None:
        """Wait until a volume can be used; fail when it never will be."""
        log = self.workers[-1].log

        def available() -> bool:
            status = self.get(f"volumes/detail?name={name}")["volumes"][0]["status"]
            if status == "error":
                raise Failure(f"Cinder could not create `{name}`", log)
            return status == "available"

        wait_until(available, f"volume `{name}` to be available", SECONDS, log)
