# SPDX-License-Identifier: Apache-2.0
"""The stores that outages are tried on, and what can be done to each.

Every driver's server in `servers.stores.STORES` is here by itself, behind a proxy; so are the files, on a small disk of
their own. `HOOKS` says how a server is brought to refuse, or to lose its data; where it says nothing, that fault is not
tried on that store.
"""

import contextlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from outage.proxy import Proxy
from servers import mariadb_stores, postgresql
from servers.redis_questions import ask
from servers.stores import STORES

FILES = ("sqlite", "file")
# Whose outages have tests of their own alone, in `tests/stores/test_{otlp,loginsight}_faults.py`: a collector's writer
# holds starts back, and its spans are nothing that the command reads; a stand-in says nothing of a server's outages.
ELSEWHERE = frozenset({"otlp", "loginsight"})
NAMES = (*FILES, *(name for name in STORES if name not in ELSEWHERE))
DISK_BYTES = 128 << 20
PROXY_ACTS = ("down", "up", "slow", "nonsense")
FILE_ACTS = ("down", "up", "full", "not full", "lose")
# A number of a store that each server has, and nobody else uses.
NUMBER = 7


@dataclass
class Store:
    """A running store."""

    name: str
    version: str
    url: str
    # What somebody does to it by name: down, up, slow, nonsense, and what the hooks add.
    acts: dict[str, Callable[[], object]]

    def do(self, act: str) -> None:
        """Do it."""
        self.acts[act]()

    def count(self, command: Path, base_id: str) -> int:
        """Return how many notifications of a trace the command finds in it."""
        done = subprocess.run(
            [command, "trace", "export", base_id, "--connection-string", self.url],
            capture_output=True,
            text=True,
            check=False,
        )
        return sum("name" in json.loads(line) for line in done.stdout.splitlines())


def can(name: str, *acts: str) -> bool:
    """Return whether all that can be done to the store of that name."""
    known = FILE_ACTS if name in FILES else {*PROXY_ACTS, *HOOKS.get(name, ())}
    return all(act in known for act in acts)


@contextlib.contextmanager
def started(name: str, folder: Path, delay_seconds: float) -> Iterator[Store]:
    """Have the store of that name ready, with an empty database, for as long as the block lasts."""
    if name in FILES:
        with _disk(folder / "disk") as disk:
            yield _file(name, disk)
        return
    with STORES[name](folder / name) as server:
        version, url = server.stores[0].split("|", 1)
        url = url.replace("{}", str(NUMBER))
        port = int(re.search(r"127\.0\.0\.1:(\d+)", url)[1])
        with Proxy(port) as proxy:
            calls = (proxy.refuse, proxy.accept, lambda: proxy.delay(delay_seconds), proxy.talk_nonsense)
            acts = dict(zip(PROXY_ACTS, calls, strict=True))
            for act, hook in HOOKS.get(name, {}).items():
                acts[act] = lambda hook=hook: (hook(server, port), proxy.cut())
            url = url.replace(f"127.0.0.1:{port}", f"127.0.0.1:{proxy.port}")
            yield Store(name, version, url, acts)


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[Path]:
    """Mount a small disk, as root."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def _file(name: str, disk: Path) -> Store:
    here, away, ballast = disk / "store", disk / "away", disk / "ballast"
    here.mkdir()

    def fill():
        with ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def lose():
        # While it is down.
        for file in away.iterdir():
            file.unlink()

    calls = (lambda: here.rename(away), lambda: away.rename(here), fill, ballast.unlink, lose)
    return Store(name, "", f"{name}://{here}/trace", dict(zip(FILE_ACTS, calls, strict=True)))


# What is done to a server, and undone. Each gets the server and the port of the first of its addresses.


def _redis_full(_, port):
    ask(port, "CONFIG", "SET", "maxmemory", "1")


def _redis_not_full(_, port):
    ask(port, "CONFIG", "SET", "maxmemory", "0")


def _redis_other_password(_, port):
    ask(port, "ACL", "SETUSER", "default", "resetpass", ">other")


def _redis_same_password(_, port):
    ask(port, "ACL", "SETUSER", "default", "nopass", login=("other",))


def _redis_lose(_, port):
    ask(port, "FLUSHALL")


SCHEMA = f"way0_{NUMBER}"


def _postgresql_full(server, _):
    server.ask(
        f"CREATE FUNCTION {SCHEMA}.full() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'no space left on device'; END$$;"
        f"CREATE TRIGGER full_disk BEFORE INSERT ON {SCHEMA}.data FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.full()",
        postgresql.DATABASE,
    )


def _postgresql_not_full(server, _):
    server.ask(f"DROP FUNCTION {SCHEMA}.full() CASCADE", postgresql.DATABASE)


def _postgresql_other_password(server, _):
    server.ask(f"ALTER ROLE {postgresql.USER} PASSWORD 'other'")


def _postgresql_same_password(server, _):
    server.ask(f"ALTER ROLE {postgresql.USER} PASSWORD '{postgresql.PASSWORD}'")


def _postgresql_lose(server, _):
    schema = f"DROP SCHEMA {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA} AUTHORIZATION {postgresql.USER}"
    server.ask(schema, postgresql.DATABASE)


def _mysql_full(server, _):
    signal = "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'the table is full'"
    server.ask(f"CREATE TRIGGER full_disk BEFORE INSERT ON data FOR EACH ROW {signal}", SCHEMA)


def _mysql_not_full(server, _):
    server.ask("DROP TRIGGER full_disk", SCHEMA)


def _mysql_password(server, password):
    server.ask(f"ALTER USER {mariadb_stores.USER}@'127.0.0.1' IDENTIFIED BY '{password}'")


def _mysql_lose(server, _):
    server.ask(f"DROP DATABASE {SCHEMA}; CREATE DATABASE {SCHEMA}")


HOOKS = {
    "redis": {
        "full": _redis_full,
        "not full": _redis_not_full,
        "other password": _redis_other_password,
        "same password": _redis_same_password,
        "lose": _redis_lose,
    },
    "postgresql": {
        "full": _postgresql_full,
        "not full": _postgresql_not_full,
        "other password": _postgresql_other_password,
        "same password": _postgresql_same_password,
        "lose": _postgresql_lose,
    },
    "mysql": {
        "full": _mysql_full,
        "not full": _mysql_not_full,
        "other password": lambda server, _: _mysql_password(server, "other"),
        "same password": lambda server, _: _mysql_password(server, mariadb_stores.PASSWORD),
        "lose": _mysql_lose,
    },
}
