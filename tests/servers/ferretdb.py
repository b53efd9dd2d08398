# SPDX-License-Identifier: Apache-2.0
"""FerretDB 1.24, a server that speaks MongoDB's protocol: MongoDB's own is in none of the registries.

Built from the Go module beside this file, into the cache, under a name that changes with the module's files. It keeps
its data in SQLite files and asks for no password; whatever user and password a client names, it takes.
"""

import re
import shutil
from contextlib import ExitStack
from pathlib import Path

from house.ending import one_at_a_time
from house.places import cache, version_key
from house.process import Server, run
from house.tools import need
from house.waiting import answers, free_port
from servers.certificates import Certificates

READY_SECONDS = 120
MODULE = Path(__file__).with_suffix("")


def program(log: Path) -> Path:
    """Return the path of the server's program, built where it is not there yet: a minute and a half."""
    files = [(MODULE / name).read_text() for name in ("go.mod", "go.sum", "main.go")]
    built = cache() / "servers" / f"ferretdb-{version_key(*files)}" / "ferretdb"
    with one_at_a_time(built.parent):
        if not built.exists():
            need("go")
            new = built.with_name("new")
            run(["go", "build", "-o", new, "."], log, cwd=MODULE, what="building FerretDB")
            new.replace(built)
    return built


class FerretDB:
    """A server for as long as the `with` block lasts; with certificates it speaks TLS and nothing else."""

    def __init__(self, folder: Path, certificates: Certificates | None = None, port: int = 0):
        """Choose a port where none is named; data, logs and process id go into the folder. May build the program."""
        self.folder = folder.resolve()
        self.port = free_port(port)
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"mongodb://{self.address}"
        if certificates is not None:
            self.url += f"/?tls=true&tlsCAFile={certificates.authority}"
        files = [] if certificates is None else [certificates.certificate, certificates.key]
        data = self.folder / "data"
        self.server = Server("ferretdb", [program(folder / "build.log"), self.address, data, *files], self.folder)

    def __enter__(self) -> "FerretDB":
        """Start it; return when it answers."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        try:
            self.server.start(lambda: answers(self.port), READY_SECONDS)
        except BaseException:
            self.server.end()
            raise
        return self

    def __exit__(self, *_) -> None:
        """End it."""
        self.server.end()

    def restart_empty(self) -> None:
        """End it, and start it at the same port with nothing of what it had."""
        self.server.end()
        shutil.rmtree(self.folder / "data")
        self.__enter__()


class Stores:
    """Two servers, one with TLS, and how each is reached; for the conformance suite."""

    def __init__(self, folder: Path):
        """Describe them; their files go below the folder."""
        self.plain = FerretDB(folder / "plain")
        self.tls = FerretDB(folder / "tls", Certificates(folder.resolve() / "certificates"))
        self.running = ExitStack()
        version = re.search(r"FerretDB v(\S+)", (MODULE / "go.mod").read_text())[1]
        self.stores = [
            f"FerretDB {version}|{self.plain.url}/?database=t{{}}",
            f"FerretDB {version}, TLS|{self.tls.url}&database=t{{}}",
        ]

    def __enter__(self) -> "Stores":
        """Start them, empty; return when both answer."""
        with self.running:
            for server in (self.plain, self.tls):
                shutil.rmtree(server.folder / "data", ignore_errors=True)
                self.running.enter_context(server)
            self.running = self.running.pop_all()
        return self

    def __exit__(self, *_) -> None:
        """End them."""
        self.running.close()
