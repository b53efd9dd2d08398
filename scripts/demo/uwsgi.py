# SPDX-License-Identifier: Apache-2.0
"""A service's HTTP API under uWSGI, as the services' own documentation runs it."""

import http.client
from collections.abc import Mapping, Sequence
from pathlib import Path

from house.environments import Environment
from house.process import Server

READY_SECONDS = 180


class Api:
    """One API: a process with some threads on a port of the loopback."""

    def __init__(
        self,
        name: str,
        environment: Environment,
        module: str,
        port: int,
        folder: Path,
        env: Mapping[str, str],
        *,
        threads: int = 4,
        arguments: Sequence[str] = (),
    ):
        """Describe the API; its log and process id go into the folder, the arguments to the application."""
        self.port = port
        self.server = Server(
            name,
            [
                environment.program("uwsgi"),
                "--http-socket",
                f"127.0.0.1:{port}",
                "--module",
                module,
                "--virtualenv",
                environment.folder,
                "--die-on-term",
                "--enable-threads",
                "--lazy-apps",
                "--need-app",
                "--processes",
                "1",
                "--threads",
                str(threads),
                "--http-chunked-input",
                "--buffer-size",
                "65535",
                "--add-header",
                "Connection: close",
                *(word for argument in arguments for word in ("--pyargv", argument)),
            ],
            folder,
            env,
        )

    def begin(self) -> None:
        """Start it without waiting."""
        self.server.begin()

    def await_ready(self) -> None:
        """Wait until the application answers a request; uWSGI accepts connections long before that."""
        self.server.await_ready(self._answers, READY_SECONDS)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def end(self) -> None:
        """End it."""
        self.server.end()
