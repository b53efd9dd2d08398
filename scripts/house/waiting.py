# SPDX-License-Identifier: Apache-2.0
"""Waiting for a condition with a deadline: the only place that lets time pass; and ports to wait at."""

import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

from house.failure import Failure

PAUSE_SECONDS = 0.05
# Ports that were chosen: bound and never listened at, until this process ends.
_held: list[socket.socket] = []


def wait_until(condition: Callable[[], object], what: str, seconds: float, log: Path | None = None):
    """Return the condition's first true value; fail when there was none within the seconds."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds:.0f} s for {what}, in vain", log)
        select.select([], [], [], PAUSE_SECONDS)


def answers(port: int) -> bool:
    """Say whether somebody accepts connections on this port of the loopback."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port(wanted: int = 0) -> int:
    """Return a port of the loopback that nobody uses: the wanted one, or (0) one that the system chooses.

    One that it chose is given to nobody else as long as this process runs, whoever asks; a server that is told of it,
    and sets SO_REUSEADDR as servers do, has it. Until one listens there, connections are refused.
    """
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", wanted))
    except OSError:
        probe.close()
        raise Failure(f"port {wanted} is in use: end what listens there, or leave the choice to the system") from None
    port = probe.getsockname()[1]
    if wanted == 0:
        _held.append(probe)
    else:
        probe.close()
    return port
