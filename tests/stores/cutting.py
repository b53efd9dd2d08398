# SPDX-License-Identifier: Apache-2.0
"""A proxy before a server that keeps answers to itself: what the server has done, its client does not know.

It reads no protocol: a word in what the client sends says which answer is meant, or a number how many bytes come.
"""

import contextlib
import math
import select
import socket
import threading


class Cutting:
    """A server's stand-in at a port of its own, for as long as the `with` block lasts."""

    def __init__(self, port: int):
        """Choose a port; `port` is the real server's."""
        self.behind = ("127.0.0.1", port)
        self.word = None
        self.times = 0
        self.left_bytes: float = math.inf
        # That somebody is held, and that nobody is any more.
        self.holds, self.over = threading.Event(), threading.Event()
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def __enter__(self) -> "Cutting":
        """Begin to listen."""
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        """Take no further connection, and hold nobody any more."""
        self.over.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def cut_after(self, word: bytes, times: float = 1) -> None:
        """End the connection in place of the server's next answer to what holds the word, so many times."""
        self.word, self.times = word, times

    def hold_after(self, answers_bytes: int) -> None:
        """Hold whoever waits for more than so many bytes of answers, and end the connection when that is over."""
        self.left_bytes = answers_bytes

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(self.behind) as server:
            is_cut = False
            while True:
                ready, _, _ = select.select([client, server], [], [])
                if client in ready:
                    data = client.recv(1 << 20)
                    if self.times and self.word in data:
                        self.times, is_cut = self.times - 1, True
                    server.sendall(data)
                else:
                    data = server.recv(1 << 20)
                    if is_cut:
                        return
                    client.sendall(data)
                    self.left_bytes -= len(data)
                    if self.left_bytes < 0:
                        self.holds.set()
                        self.over.wait()
                        return
                if not data:
                    return
