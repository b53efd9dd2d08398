# SPDX-License-Identifier: Apache-2.0
"""The store that the demo records into: a file that stays, or a server that runs as long as the demo.

In: a name, `make demo STORE=mongodb`. Out: a connection string to an empty store.
"""

import importlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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
    module, _, server_class = SERVERS[name].rpartition(".")
    with step(f"starting the store, {name}"):
        shutil.rmtree(folder / "data", ignore_errors=True)
        server = getattr(importlib.import_module(module), server_class)(folder)
        server.__enter__()
    try:
        yield Store(server.url, stays=False)
    finally:
        with step(f"ending {name}"):
            server.__exit__(None, None, None)
