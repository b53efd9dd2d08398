# SPDX-License-Identifier: Apache-2.0
"""A RabbitMQ server with one user of its own, from Debian's `rabbitmq-server`.

Erlang's name service, `epmd`, would outlive the server that needs it and be shared with others, so each server has one
that is started and ended beside it.
"""

import os
import socket
from pathlib import Path

from house.process import Server
from house.waiting import answers, free_port

USER = "osprofiler"
PASSWORD = "rabbitmq-secret"
READY_SECONDS = 90
PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"
# How a client of AMQP 0-9-1 opens the conversation.
HELLO = b"AMQP\0\0\x09\x01"


class RabbitMQ:
    """A server for as long as the `with` block lasts."""

    def __init__(self, folder: Path):
        """Choose ports; data, logs and process ids go into the folder."""
        self.folder = folder.resolve()
        self.port, self.names_port, peers_port = free_ports(3)
        self.url = f"rabbit://{USER}:{PASSWORD}@127.0.0.1:{self.port}/"
        env = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        env |= {
            "HOME": str(self.folder),  # where Erlang keeps its cookie
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.names_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_DIST_PORT": str(peers_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_NODENAME": "osprofiler@localhost",
            "RABBITMQ_PID_FILE": str(self.folder / "erlang.pid"),
        }
        names = ["epmd", "-address", "127.0.0.1", "-port", str(self.names_port)]
        self.names = Server("epmd", names, self.folder, env)
        self.server = Server("rabbitmq", [PROGRAM], self.folder, env)

    def __enter__(self) -> "RabbitMQ":
        """Start it; return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\n"
            f"default_user = {USER}\n"
            f"default_pass = {PASSWORD}\n"
            # A machine with little room is enough for tests.
            "disk_free_limit.absolute = 50MB\n"
        )
        try:
            self.names.start(lambda: answers(self.names_port), READY_SECONDS)
            self.server.start(self._answers, READY_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        """End it, and its name service after it."""
        self.server.end()
        self.names.end()

    def _answers(self) -> bool:
        """Say whether it speaks AMQP."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(HELLO)
                return connection.recv(1) == b"\x01"
        except OSError:
            return False


def free_ports(count: int) -> list[int]:
    """Return different ports that nobody uses."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return sorted(found)
