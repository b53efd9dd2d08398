# SPDX-License-Identifier: Apache-2.0
"""A Redis server that keeps nothing on disk, from Debian's `redis-server`.

    python3 tests/servers/redis.py FOLDER COMMAND...

runs a command with the server's address in OSPROFILER_TEST_REDIS, for tests that are not written in Python.
"""

import os
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from house.ending import framed
from house.process import Server
from house.waiting import answers, free_port

READY_SECONDS = 120


class Redis:
    """A server for as long as the `with` block lasts."""

    def __init__(self, folder: Path, *options: str | Path | int):
        """Choose a port; data, log and process id go into the folder. The options are the program's own."""
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        own = ["--bind", "127.0.0.1", "--port", self.port, "--save", "", "--appendonly", "no", "--dir", self.folder]
        self.server = Server("redis", ["redis-server", *own, *options], self.folder)

    def __enter__(self) -> "Redis":
        """Start it; return when it answers."""
        try:
            self.server.start(lambda: answers(self.port), READY_SECONDS)
        except BaseException:
            self.server.end()
            raise
        return self

    def __exit__(self, *_) -> None:
        """End it."""
        self.server.end()


def main() -> int:
    """Run the command that the arguments name beside a server."""
    with Redis(Path(sys.argv[1])) as redis:
        env = os.environ | {"OSPROFILER_TEST_REDIS": redis.url}
        return subprocess.run(sys.argv[2:], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(framed(main))
