# SPDX-License-Identifier: Apache-2.0
"""What a MongoDB client says on the wire: a proxy before a server that keeps each command, and may answer it itself.

In: connections that speak OP_MSG, or OP_QUERY for the first greeting. Out: the server's answers, or the test's. So a
test sees what a client was told and what it did then, where the server behind cannot be what the test is about.
"""

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Callable

import bson

QUERY, REPLY, MESSAGE = 2004, 1, 2013
HEADER = struct.Struct("<iiii")
NUMBERS = itertools.count(1)
Command = dict
# What to answer a command: None passes it on.
Answer = Callable[[Command], dict | None]


class Proxy:
    """A server's stand-in for as long as the `with` block lasts."""

    def __init__(
        self, port: int, answer: Answer = lambda command: None, alter: Callable[[dict], None] = lambda reply: None
    ):
        """Choose a port; `port` is the real server's. `alter` may change what that one answers to a greeting."""
        self.behind = ("127.0.0.1", port)
        self.answer = answer
        self.alter = alter
        self.commands: list[Command] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"mongodb://{self.address}"
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> "Proxy":
        """Begin to listen."""
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        """End all connections."""
        for each in [self.listener, *self.sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def named(self, name: str) -> list[Command]:
        """Return the commands of this name, in order."""
        return [command for command in self.commands if next(iter(command)) == name]

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.sockets.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), connection, socket.create_connection(self.behind) as server:
            self.sockets.append(server)
            while True:
                message = read_message(connection)
                command = command_of(message)
                self.commands.append(command)
                answer = self.answer(command)
                if answer is None:
                    server.sendall(message)
                    reply = read_message(server)
                    if next(iter(command)).lower() in ("hello", "ismaster"):
                        answer = document_of(reply)
                        self.alter(answer)
                connection.sendall(reply if answer is None else reply_to(message, answer))


def read_message(connection: socket.socket) -> bytes:
    """Return a whole message, its header included."""
    header = read_exactly(connection, HEADER.size)
    return header + read_exactly(connection, HEADER.unpack(header)[0] - HEADER.size)


def read_exactly(connection: socket.socket, count: int) -> bytes:
    """Return that many bytes; raise EOFError when there are fewer."""
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def command_of(message: bytes) -> Command:
    """Return a message's command, with the documents that were sent beside it in their place."""
    if HEADER.unpack_from(message)[3] == QUERY:
        end_of_name = message.index(b"\0", HEADER.size + 4)
        return document_at(message, end_of_name + 1 + 8)
    command, position = {}, HEADER.size + 4
    while position < len(message):
        kind, position = message[position], position + 1
        size = struct.unpack_from("<i", message, position)[0]
        if kind == 0:
            command = document_at(message, position) | command
        else:
            end_of_name = message.index(b"\0", position + 4)
            name = message[position + 4 : end_of_name].decode()
            command[name] = bson.decode_all(message[end_of_name + 1 : position + size])
        position += size
    return command


def document_of(reply: bytes) -> dict:
    """Return a reply's document."""
    if HEADER.unpack_from(reply)[3] == REPLY:
        return document_at(reply, HEADER.size + 20)
    return command_of(reply)


def document_at(message: bytes, position: int) -> dict:
    """Return the document that begins there."""
    size = struct.unpack_from("<i", message, position)[0]
    return bson.decode(message[position : position + size])


def reply_to(message: bytes, document: dict) -> bytes:
    """Return the document as the reply to a message, in the message's own form."""
    _, number, _, kind = HEADER.unpack_from(message)
    if kind == QUERY:
        body, kind = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(document), REPLY
    else:
        body = struct.pack("<i", 0) + b"\0" + bson.encode(document)
    return HEADER.pack(HEADER.size + len(body), next(NUMBERS), number, kind) + body
