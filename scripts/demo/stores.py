# SPDX-License-Identifier: Apache-2.0
"""The store that the demo records into: a file that stays, or a server that runs as long as the demo.

In: a name, `make demo STORE=mongodb`. Out: a connection string to an empty store.
"""

import importlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from house import debian
from house.places import DEMO
from house.progress import step


@dataclass(frozen=True)
class Kind:
    """A kind of server."""

    # A context manager, made with a folder, and which of its attributes is the connection string.
    connection_string: str
    # A server that the command cannot read names a file beside it there, and has a method `look`, which tells what it
    # shows of a trace.
    # What Debian brings for it, by a program of each package.
    programs: tuple[str, ...] = ()


# By the store's name.
SERVERS = {
    "mongodb": Kind("servers.ferretdb.FerretDB.url"),
    "opensearch": Kind("servers.opensearch.OpenSearch.url"),
    "redis": Kind("servers.redis.Redis.url", ("redis-server",)),
    "mysql": Kind("servers.mariadb.MariaDB.url", ("mariadbd", "my_print_defaults")),
    "postgresql": Kind("servers.postgresql.PostgreSQL.url", ("initdb",)),
    "otlp": Kind("servers.jaeger.BesideFile.url"),
    "messaging": Kind("servers.rabbitmq.RabbitMQ.connection_string", ("rabbitmq-server",)),
}
FILE = "sqlite"
NAMES = (FILE, *SERVERS)


@dataclass(frozen=True)
class Store:
    """A store, and whether it is still there when the demo is over."""

    connection_string: str
    stays: bool
    look: Callable[[str, int], str] | None = None
    """What else shows a trace, of that id with so many points, and tells of it."""


@contextmanager
def running(name: str, folder: Path) -> Iterator[tuple[object, str]]:
    """Have the server of that name, its data in the folder, while the block lasts; give it and how to connect."""
    class_path, _, attribute = SERVERS[name].connection_string.rpartition(".")
    module, _, class_name = class_path.rpartition(".")
    with getattr(importlib.import_module(module), class_name)(folder) as server:
        yield server, getattr(server, attribute)


@contextmanager
def started(name: str) -> Iterator[Store]:
    """Have the store of that name ready, empty, for as long as the block lasts."""
    if name == FILE:
        file = DEMO / "traces.db"
        for old in DEMO.glob(f"{file.name}*"):
            old.unlink()
        yield Store(f"sqlite://{file}", stays=True)
        return
    folder = DEMO / "stores" / name
    with ExitStack() as ending:
        with step(f"starting the store, {name}"):
            debian.ensure(DEMO / "logs" / "debian.log", SERVERS[name].programs)
            shutil.rmtree(folder / "data", ignore_errors=True)
            server, connection_string = ending.enter_context(running(name, folder))
        try:
            yield Store(connection_string, stays=False, look=getattr(server, "look", None))
        finally:
            with step(f"ending {name}"):
                ending.close()
