# SPDX-License-Identifier: Apache-2.0
"""The store that the demo records into: a file that stays, or a server that runs as long as the demo.

In: a name, `make demo STORE=mongodb`. Out: a connection string to an empty store.
"""

import importlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from house.places import DEMO
from house.progress import step

# A store's name, and the class of its server: a context manager, made with a folder, that has a `url`.
SERVERS = {
    "mongodb": "servers.ferretdb.FerretDB",
}
FILE = "sqlite"
NAMES = (FILE, *SERVERS)


@dataclass(frozen=True)
class Store:
    """A store, and whether it is still there when the demo is over."""

    connection_string: str
    stays: bool


def server_class(name: str) -> Callable[[Path], AbstractContextManager]:
    """Return what makes the server of that name, with its data in a folder."""
    module, _, class_name = SERVERS[name].rpartition(".")
    return getattr(importlib.import_module(module), class_name)


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
    with step(f"starting the store, {name}"):
        shutil.rmtree(folder / "data", ignore_errors=True)
        server = server_class(name)(folder)
        server.__enter__()
    try:
        yield Store(server.url, stays=False)
    finally:
        with step(f"ending {name}"):
            server.__exit__(None, None, None)
