# SPDX-License-Identifier: Apache-2.0
"""The stores that outages are tried on, and what can be done to each.

Every driver's server in `servers.stores.STORES` is here by itself, behind a proxy; so are the files, on a small disk of
their own. `outage.hooks` says how a server is brought to refuse, or to lose its data, and why where it cannot be.
"""

import contextlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from outage.faults import FAULTS, Fault
from outage.hooks import FRONTS, HOOKS, NUMBER, WHY_NOT, Front, There
from outage.proxy import Proxy
from servers.disk import SmallDisk
from servers.loginsight import OneAddress
from servers.stores import STORES

FILES = ("sqlite", "file")
NAMES = (*FILES, *STORES)
# Those that are not what the conformance suite has: all stores of the stand-in are at one port, and at one address.
OTHERS = {"loginsight": OneAddress}
DISK_MIB = 128
PROXY_ACTS = ("down", "up", "slow", "nonsense")
FILE_ACTS = ("down", "up", "full", "not full", "lose")
# Where a connection string has the server's port.
PORT = re.compile(r"(127\.0\.0\.1:|api_port=)(\d+)")


@dataclass
class Store:
    """A running store."""

    name: str
    version: str
    url: str
    # What somebody does to it by name: down, up, slow, nonsense, and what the hooks add.
    acts: dict[str, Callable[[], object]]
    # Asks the server itself how many notifications of a trace it has: for one that is written only.
    counted: Callable[[str], int] | None = None

    @property
    def holds_starts(self) -> bool:
        """Whether a start whose stop was lost waits for it until the service ends: a span has both."""
        return self.name == "otlp"

    def do(self, act: str) -> None:
        """Do it."""
        self.acts[act]()

    def count(self, command: Path, base_id: str) -> int | None:
        """Return how many notifications of a trace are found in it; `None` where it could not say by now.

        All stores of a trial are busy at the same time, and a trace of minutes is long.
        """
        if self.counted is not None:
            try:
                return self.counted(base_id)
            except OSError:
                return None
        done = subprocess.run(
            [command, "trace", "export", base_id, "--connection-string", self.url],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0 and "no trace" not in done.stderr:
            return None
        return sum("name" in json.loads(line) for line in done.stdout.splitlines())


def can(name: str, *acts: str) -> bool:
    """Return whether all that can be done to the store of that name."""
    known = FILE_ACTS if name in FILES else {*PROXY_ACTS, *HOOKS.get(name, ())}
    return all(act in known for act in acts)


def why_not(name: str, fault: Fault) -> str | None:
    """Return why the store of that name cannot have a fault; nothing where it can, or nobody has said why."""
    return next((reason for act, reason in WHY_NOT.get(name, {}).items() if act in fault.begin), None)


def untried(names: Sequence[str]) -> list[str]:
    """Return a line for each fault that a store of these cannot have, with the reason."""
    pairs = [(name, fault) for name in names for fault in FAULTS]
    return [f"not tried, {name}, {fault.name}: {reason}" for name, fault in pairs if (reason := why_not(name, fault))]


def is_shared(name: str, fault: Fault) -> bool:
    """Return whether the fault is of one service's way to its store, so that the server can have others meanwhile."""
    return name not in FILES and set(fault.begin) <= set(PROXY_ACTS)


@contextlib.contextmanager
def started(name: str, folder: Path, delay_seconds: float) -> Iterator[Store]:
    """Have the store of that name ready, with an empty database, for as long as the block lasts."""
    with serving(name, folder, delay_seconds) as store, store(NUMBER) as one:
        yield one


@contextlib.contextmanager
def serving(
    name: str, folder: Path, delay_seconds: float
) -> Iterator[Callable[[int], contextlib.AbstractContextManager[Store]]]:
    """Have a server for as long as the block lasts; give what makes an empty store of its own there by a number.

    What is done to the server itself needs the store of `NUMBER`.
    """
    if name in FILES:
        yield lambda number: _file(name, folder / f"disk-{number}")
        return
    with OTHERS.get(name, STORES[name])(folder / name) as server:
        yield lambda number: _behind_proxy(name, server, number, delay_seconds)


@contextlib.contextmanager
def _behind_proxy(name: str, server, number: int, delay_seconds: float) -> Iterator[Store]:
    version, url = server.stores[0].split("|", 1)
    url = url.replace("{}", str(number))
    port = int(PORT.search(url)[2])
    before = FRONTS.get(name, Front(lambda _: contextlib.nullcontext()))
    with ExitStack() as running:
        front = running.enter_context(before.stands(port))
        proxy = running.enter_context(Proxy(port if front is None else front.port))
        calls = (proxy.refuse, proxy.accept, lambda: proxy.delay(delay_seconds), proxy.talk_nonsense)
        acts = dict(zip(PROXY_ACTS, calls, strict=True))
        there = There(server, port, front)
        for act, hook in HOOKS.get(name, {}).items():
            acts[act] = lambda hook=hook: (hook(there), proxy.cut())
        url = PORT.sub(lambda found: f"{before.login}{found[1]}{proxy.port}", url, count=1) + before.options
        yield Store(name, version, url, acts, server.plain.notifications if name == "otlp" else None)


@contextlib.contextmanager
def _file(name: str, folder: Path) -> Iterator[Store]:
    with SmallDisk(folder, DISK_MIB) as disk:
        here, away = disk.folder / "store", disk.folder / "away"
        here.mkdir()

        def lose():
            # While it is down.
            for file in away.iterdir():
                file.unlink()

        calls = (lambda: here.rename(away), lambda: away.rename(here), disk.fill, disk.free, lose)
        yield Store(name, "", f"{name}://{here}/trace", dict(zip(FILE_ACTS, calls, strict=True)))
