# SPDX-License-Identifier: Apache-2.0
"""What stands before a MongoDB server and refuses commands in its place: for what FerretDB has none of.

In: connections that speak MongoDB's protocol. Out: the server's answers, or, to a command that is to be refused, the
error that MongoDB has for that. It knows of a message its command's name and nothing else, and needs no library.
"""

import contextlib
import itertools
import socket
import struct
import threading

HEADER = struct.Struct("<iiii")
MESSAGE = 2013
# Of a message: its flags, the kind of its first section, the size of that, and the type of its first element.
BEFORE_NAME = HEADER.size + 4 + 1 + 4 + 1


class MongoDBFront:
    """Stands before the server at a port for as long as the `with` block lasts."""

    def __init__(self, port: int):
        """Choose a port of its own."""
        self.behind = ("127.0.0.1", port)
        self.refusals: dict[bytes, bytes] = {}
        self.numbers = itertools.count(1)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def refuse(self, command: str, code: int, name: str, message: str) -> None:
        """Answer a command with that error from now on."""
        elements = b"\1ok\0" + struct.pack("<d", 0) + b"\x10code\0" + struct.pack("<i", code)
        for key, text in (("codeName", name), ("errmsg", message)):
            value = text.encode() + b"\0"
            elements += b"\2" + key.encode() + b"\0" + struct.pack("<i", len(value)) + value
        self.refusals[command.encode()] = struct.pack("<i", len(elements) + 5) + elements + b"\0"

    def accept(self) -> None:
        """Refuse nothing from now on."""
        self.refusals.clear()

    def __enter__(self) -> "MongoDBFront":
        """Begin."""
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        """Take nobody on any more; who is connected ends by himself."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self._lead, args=(near,), daemon=True).start()

    def _lead(self, near: socket.socket) -> None:
        with (
            contextlib.suppress(OSError, EOFError),
            near,
            socket.create_connection(self.behind) as far,
            near.makefile("rb") as asked,
            far.makefile("rb") as answers,
        ):
            while True:
                message = _message(asked)
                refusal = self.refusals.get(_command(message))
                if refusal is None:
                    far.sendall(message)
                    near.sendall(_message(answers))
                else:
                    near.sendall(self._answer(message, refusal))

    def _answer(self, message: bytes, document: bytes) -> bytes:
        number = HEADER.unpack_from(message)[1]
        body = struct.pack("<i", 0) + b"\0" + document
        return HEADER.pack(HEADER.size + len(body), next(self.numbers), number, MESSAGE) + body


def _message(source) -> bytes:
    header = source.read(HEADER.size)
    if len(header) < HEADER.size:
        raise EOFError
    return header + source.read(HEADER.unpack(header)[0] - HEADER.size)


def _command(message: bytes) -> bytes:
    """Return the name of a message's command; of a greeting in the older form, nothing that is one."""
    if HEADER.unpack_from(message)[3] != MESSAGE:
        return b""
    return message[BEFORE_NAME : message.index(b"\0", BEFORE_NAME)]
