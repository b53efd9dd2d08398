# SPDX-License-Identifier: Apache-2.0
"""A Redis server with a replica, and three sentinels that make the replica the master when the server dies.

Servers and sentinels have passwords, and not the same.
"""

from contextlib import ExitStack
from pathlib import Path

from house.process import Server
from house.waiting import free_port, wait_until
from servers.redis import Redis
from servers.redis_questions import Refused, ask, facts

MASTER = "kolla"
PASSWORD = "data-secret"
SENTINEL_PASSWORD = "sentinel-secret"
FAIL_OVER_SECONDS = 120
# A busy machine is no reason for another master, and takes its time until all know each other.
DOWN_AFTER_MILLISECONDS = 5000
READY_SECONDS = 120


class Sentinels:
    """The servers for as long as the `with` block lasts. `url` and `options` are to put a path between."""

    def __init__(self, folder: Path, *options: str | Path | int):
        """Choose ports; data, logs and process ids go into the folder. The options are the servers' own."""
        folder = folder.resolve()
        self.running = ExitStack()
        own = [*options, "--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", 0]
        self.first = Redis(folder / "first", *own)
        self.second = Redis(folder / "second", *own, "--replicaof", f"127.0.0.1 {self.first.port}")
        self.ports = [free_port() for _ in range(3)]
        self.sentinels = [self._sentinel(folder / f"sentinel-{port}", port) for port in self.ports]
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self.url = f"redissentinel://:{PASSWORD}@{hosts}"
        self.options = f"?sentinel={MASTER}&sentinel_password={SENTINEL_PASSWORD}"

    def _sentinel(self, folder: Path, port: int) -> Server:
        folder.mkdir(parents=True, exist_ok=True)
        settings = folder / "sentinel.conf"
        settings.write_text(
            f"port {port}\n"
            "bind 127.0.0.1\n"
            f'dir "{folder}"\n'
            f"requirepass {SENTINEL_PASSWORD}\n"
            f"sentinel sentinel-pass {SENTINEL_PASSWORD}\n"
            f"sentinel monitor {MASTER} 127.0.0.1 {self.first.port} 2\n"
            f"sentinel auth-pass {MASTER} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MILLISECONDS}\n"
            f"sentinel failover-timeout {MASTER} 10000\n"
        )
        return Server("sentinel", ["redis-server", settings, "--sentinel"], folder)

    def __enter__(self) -> "Sentinels":
        """Start them; return when the replica is one and every sentinel knows it and the other sentinels."""
        with ExitStack() as starting:
            for server in (self.first, self.second):
                starting.enter_context(server)
            wait_until(self._replicates, "the replica to have what the master has", READY_SECONDS)
            for sentinel, port in zip(self.sentinels, self.ports, strict=True):
                starting.callback(sentinel.end)
                sentinel.start(lambda port=port: self._knows_all(port, others=0), READY_SECONDS)
            for port in self.ports:
                what = f"the sentinel at {port} to know the others"
                wait_until(lambda port=port: self._knows_all(port, others=2), what, READY_SECONDS)
            self.running = starting.pop_all()
        return self

    def __exit__(self, *_) -> None:
        """End them."""
        self.running.close()

    def await_master(self, port: int) -> None:
        """Wait until all sentinels have made the server at that port the master, and it is one."""

        def is_master() -> bool:
            named = [self._ask_sentinel(sentinel, "get-master-addr-by-name", MASTER)[1] for sentinel in self.ports]
            agreed = named == [str(port).encode()] * len(named)
            return agreed and facts(port, "replication", (PASSWORD,))["role"] == "master"

        wait_until(is_master, f"the sentinels to make {port} the master", FAIL_OVER_SECONDS)

    def _replicates(self) -> bool:
        return facts(self.second.port, "replication", (PASSWORD,))["master_link_status"] == "up"

    def _knows_all(self, port: int, others: int) -> bool:
        try:
            words = self._ask_sentinel(port, "master", MASTER)
        except (Refused, OSError):
            return False
        master = dict(zip(words[::2], words[1::2], strict=True))
        known = int(master[b"num-slaves"]), int(master[b"num-other-sentinels"])
        return known[0] == 1 and known[1] >= others and master[b"flags"] == b"master"

    def _ask_sentinel(self, port: int, *words: str):
        return ask(port, "SENTINEL", *words, login=(SENTINEL_PASSWORD,))
