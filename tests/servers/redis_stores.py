# SPDX-License-Identifier: Apache-2.0
"""Redis reached in every way there is: with and without a password, over TLS, by its socket, and through sentinels.

A server has many databases, so that each way gets its own and each check an empty one.
"""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from house.waiting import free_port
from servers.certificates import Certificates
from servers.redis import Redis
from servers.redis_questions import ask, facts
from servers.redis_sentinels import Sentinels

# With what an address or a shell would trip over.
PASSWORD = "redis@secret/1?"
ENCODED_PASSWORD = "redis%40secret%2F1%3F"
USER = "tracer"


class RedisStores:
    """The servers for as long as the `with` block lasts; `stores` says how to reach them."""

    def __init__(self, folder: Path):
        """Choose ports; data, logs and process ids go into the folder."""
        self.folder = folder.resolve()
        self.running = ExitStack()
        self.stores: list[str] = []

    def __enter__(self) -> "RedisStores":
        """Start them; return when all answer."""
        with ExitStack() as starting:
            # The path of a socket ends at 107 bytes.
            place = Path(tempfile.mkdtemp(prefix="osprofiler-redis-", dir="/tmp"))
            starting.callback(shutil.rmtree, place)
            files, tls_port = Certificates(self.folder / "certificates"), free_port()
            tls = ["--tls-port", tls_port, "--tls-auth-clients", "no", "--tls-ca-cert-file", files.authority]
            tls += ["--tls-cert-file", files.certificate, "--tls-key-file", files.key]
            socket = ["--unixsocket", place / "redis.sock"]
            redis = starting.enter_context(Redis(self.folder / "server", "--databases", 10000, *tls, *socket))
            allowed = ["~osprofiler*", "+@read", "+@write", "+@transaction", "+@connection", "+dbsize"]
            ask(redis.port, "ACL", "SETUSER", USER, "on", f">{PASSWORD}", *allowed)
            sentinels = starting.enter_context(Sentinels(self.folder / "sentinels", "--databases", 1000))
            name = f"Redis {facts(redis.port, 'server')['redis_version']}"
            self.stores = [
                # Numbers of databases that begin alike belong to one way.
                f"{name}|{redis.url}/10{{}}",
                f"{name}, a user|redis://{USER}:{ENCODED_PASSWORD}@127.0.0.1:{redis.port}/20{{}}",
                f"{name}, TLS|rediss://localhost:{tls_port}/30{{}}?tls_ca_file={files.authority}",
                f"{name}, its socket|unix://{place}/redis.sock?db=40{{}}",
                f"{name}, sentinels|{sentinels.url}/{{}}{sentinels.options}",
            ]
            self.running = starting.pop_all()
        return self

    def __exit__(self, *_) -> None:
        """End them."""
        self.running.close()
