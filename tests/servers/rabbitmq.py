# SPDX-License-Identifier: Apache-2.0
"""A RabbitMQ server with one user of its own, plain and over TLS, from Debian's `rabbitmq-server`.

Erlang's name service, `epmd`, would outlive the server that needs it and be shared with others, so each server has one
that is started and ended beside it.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
from pathlib import Path

from house.process import Server, run
from house.waiting import answers, free_port, wait_until
from servers.certificates import Certificates

USER = "osprofiler"
PASSWORD = "rabbitmq-secret"
# A busy machine takes minutes where a quiet one takes some seconds.
READY_SECONDS = 240
PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"
CONTROL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
# A machine with little room is enough for tests.
DISK_FREE_LIMIT = "50MB"
# How a client of AMQP 0-9-1 opens the conversation.
HELLO = b"AMQP\0\0\x09\x01"


class RabbitMQ:
    """A server for as long as the `with` block lasts."""

    def __init__(self, folder: Path):
        """Choose ports; data, logs and process ids go into the folder. What an earlier server kept there is removed."""
        self.folder = folder.resolve()
        shutil.rmtree(self.folder / "data", ignore_errors=True)
        self.port, self.tls_port, self.names_port, peers_port = (free_port() for _ in range(4))
        address = f"{USER}:{PASSWORD}@127.0.0.1:{self.port}/"
        self.url = f"rabbit://{address}"
        self.connection_string = f"messaging://{address}"
        self.certificates = Certificates(self.folder / "certificates")
        self.stores: list[str] = []
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
        self.environment_of_node = env

    def __enter__(self) -> "RabbitMQ":
        """Start it; return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "enabled_plugins").write_text("[].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.local = 127.0.0.1:{self.port}\n"
            f"listeners.ssl.local = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.certfile = {self.certificates.certificate}\n"
            f"ssl_options.keyfile = {self.certificates.key}\n"
            f"default_user = {USER}\n"
            f"default_pass = {PASSWORD}\n"
            f"disk_free_limit.absolute = {DISK_FREE_LIMIT}\n"
        )
        try:
            self.names.start(lambda: answers(self.names_port), READY_SECONDS)
            self.start_again()
        except BaseException:
            self.__exit__()
            raise
        self.stores = self._stores()
        return self

    def start_again(self) -> None:
        """Start it, at first and after `stop`; return when it answers."""
        self.server.start(self._greeting, READY_SECONDS)

    def stop(self) -> None:
        """End it so that it knows at its next start all that it knew: its shell would not wait for it."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            erlang = int((self.folder / "erlang.pid").read_text())
            os.kill(erlang, signal.SIGTERM)
            wait_until(lambda: not Path(f"/proc/{erlang}/cmdline").exists(), "the broker to end", READY_SECONDS)
        self.server.end()

    def control(self, *words: str) -> None:
        """Have it do what its administrator says."""
        run([CONTROL, *words], self.folder / "rabbitmqctl.log", self.environment_of_node)

    def __exit__(self, *_) -> None:
        """End it, and its name service after it."""
        self.server.end()
        self.names.end()

    def _stores(self) -> list[str]:
        """Return each way of reaching it; a store is a topic of its own, whose traces nobody waits for."""
        version = re.search(rb"\x07versionS....([0-9.]+)", self._greeting(), re.DOTALL)[1].decode()
        name, who, options = f"RabbitMQ {version}", f"{USER}:{PASSWORD}", "idle_timeout=0"
        tls = f"ssl=1&tls_ca_file={self.certificates.authority}"
        plain = f"messaging://{who}@127.0.0.1:{self.port}/?{options}"
        return [
            f"{name}|{plain}&topic=plain{{}}",
            f"{name}, TLS|messaging://{who}@localhost:{self.tls_port}/?{options}&{tls}&topic=tls{{}}",
            f"{name}, a transport URL|messaging://?transport_url={self.url}&{options}&topic=url{{}}",
            f"{name}, quorum queues|{plain}&rabbit_quorum_queue=true&topic=quorum{{}}&exchange=durable",
        ]

    def _greeting(self) -> bytes:
        """Return what it says first, if it speaks AMQP."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(HELLO)
                said = connection.recv(4096)
                return said if said[:1] == b"\x01" else b""
        except OSError:
            return b""
