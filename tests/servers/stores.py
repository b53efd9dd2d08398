# SPDX-License-Identifier: Apache-2.0
"""Every server that a driver's store is, started together for a command that checks the drivers on them.

    python3 tests/servers/stores.py FOLDER COMMAND...

`STORES` is the one list. A line of it makes a server that is a context manager and has `stores`: what
tests/conformance/servers.rs reads from the environment, `NAME AND VERSION|CONNECTION STRING` for each way of reaching
it, with `{}` where a number makes it another store. What else a server has to tell is its `environment`.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

if __name__ == "__main__":
    for folder in ("scripts", "tests"):
        sys.path.insert(0, str(Path(__file__).resolve().parents[2] / folder))

from house.ending import framed
from servers import ferretdb, jaeger, loginsight
from servers.mariadb_stores import MariaDBStores
from servers.opensearch_stores import OpenSearchStores
from servers.postgresql import PostgreSQL
from servers.rabbitmq import RabbitMQ
from servers.redis_stores import RedisStores

# For whoever is not after a driver's own time-outs, which would tell how busy the machine is that all servers share.
PATIENT = "connect_timeout=20&socket_timeout=60"
# By driver; each gets a folder of its own.
STORES: dict[str, Callable[[Path], AbstractContextManager]] = {
    "mongodb": ferretdb.Stores,
    "redis": RedisStores,
    "mysql": MariaDBStores,
    "postgresql": PostgreSQL,
    "messaging": RabbitMQ,
    "elasticsearch": OpenSearchStores,
    "loginsight": loginsight.Stores,
    "otlp": jaeger.Stores,
}


@contextmanager
def running(driver: str, folder: Path, options: str = "") -> Iterator[dict[str, str]]:
    """Have the server of a driver for as long as the block lasts; give the variables that tell of its stores.

    Each store's connection string has the options besides its own.
    """
    with STORES[driver](folder / driver) as server:
        stores = "\n".join(with_options(store, options) for store in server.stores)
        yield {f"OSPROFILER_TEST_{driver.upper()}": stores} | getattr(server, "environment", {})


def with_options(store: str, options: str) -> str:
    """Return a connection string with more options."""
    return f"{store}{'&' if '?' in store else '?'}{options}" if options else store


def main() -> int:
    """Run the command that the arguments name beside all servers."""
    folder, command = Path(sys.argv[1]), sys.argv[2:]
    env = os.environ | {"OSPROFILER_TEST_SERVERS": "required"}
    with ExitStack() as servers:
        for driver in STORES:
            env |= servers.enter_context(running(driver, folder, PATIENT))
        return subprocess.run(command, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(framed(main))
