# SPDX-License-Identifier: Apache-2.0
"""What stands between a service and its store, and breaks: refuses, delays, talks nonsense, cuts.

In: a port of the loopback. Out: another, which leads there as long as nothing is wrong. It keeps its number whatever
happens, and nobody listens on it while it refuses.
"""

import contextlib
import random
import socket
import threading

from house.waiting import free_port

BYTES = 1 << 16
# Bytes that begin no protocol's answer, with line ends so that whoever reads lines gets some.
NONSENSE = random.Random(5).randbytes(2000).replace(b"\0", b"\r\n")


class Proxy:
    """Leads to a port for as long as the `with` block lasts."""

    def __init__(self, target: int):
        """Choose a port; nobody listens there yet."""
        self.target = target
        self.delay_seconds = 0.0
        self.talks_nonsense = False
        self.listener: socket.socket | None = None
        self.connections: set[socket.socket] = set()
        self.lock = threading.Lock()
        # Set when whatever was wrong changes: nobody waits for what was wrong before.
        self.changed = threading.Event()
        self.port = free_port()

    def __enter__(self) -> "Proxy":
        """Begin."""
        self.accept()
        return self

    def __exit__(self, *_) -> None:
        """End, whoever is connected."""
        self.refuse()

    def accept(self) -> None:
        """Let everything through from now on."""
        self._change()
        self.delay_seconds, self.talks_nonsense = 0.0, False
        if self.listener is None:
            self.listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._serve, args=(self.listener,), daemon=True).start()

    def refuse(self) -> None:
        """Listen no more, and cut who is connected."""
        listener, self.listener = self.listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def cut(self) -> None:
        """Cut who is connected."""
        self._change()
        with self.lock:
            connections, self.connections = self.connections, set()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def delay(self, seconds: float) -> None:
        """Hold each part of what the store says for so long."""
        self.delay_seconds = seconds

    def talk_nonsense(self) -> None:
        """Answer whatever is said with what means nothing, and ask the store nothing."""
        self.talks_nonsense = True
        self.cut()

    def _change(self) -> None:
        self.changed.set()
        self.changed = threading.Event()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._lead, args=(near,), daemon=True).start()

    def _lead(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            with self.lock:
                self.connections.add(near)
            if self.talks_nonsense:
                # Some servers speak first, and some clients hear only what they asked for.
                near.sendall(NONSENSE)
                while near.recv(BYTES):
                    near.sendall(NONSENSE)
                return
            with socket.create_connection(("127.0.0.1", self.target)) as far:
                with self.lock:
                    self.connections.add(far)
                answers = threading.Thread(target=self._pass, args=(far, near, True), daemon=True)
                answers.start()
                self._pass(near, far, False)
                answers.join()

    def _pass(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(BYTES):
                if is_answer and self.delay_seconds:
                    self.changed.wait(self.delay_seconds)
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
