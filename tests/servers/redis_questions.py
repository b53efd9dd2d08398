# SPDX-License-Identifier: Apache-2.0
"""Asking a Redis server, or a sentinel, without its Python client, which the scripts' interpreter need not have."""

import socket

SECONDS = 60


class Refused(Exception):
    """The server answered with an error: its words."""


def ask(port: int, *command: str | bytes | int, login: tuple[str, ...] = ()):
    """Return the answer to a command: None, an int, bytes, or a list of those. `login` is what follows `AUTH`."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
        answers = connection.makefile("rb")
        for words in (("AUTH", *login),) if login else ():
            connection.sendall(_packed(words))
            _answer(answers)
        connection.sendall(_packed(command))
        return _answer(answers)


def facts(port: int, section: str, login: tuple[str, ...] = ()) -> dict[str, str]:
    """Return what `INFO` tells, by name."""
    lines = ask(port, "INFO", section, login=login).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _packed(words) -> bytes:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def _answer(answers):
    line = answers.readline()
    kind, rest = line[:1], line[1:].strip()
    if kind == b"-":
        raise Refused(rest.decode())
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if rest == b"-1" else answers.read(int(rest) + 2)[:-2]
    if kind == b"*":
        return None if rest == b"-1" else [_answer(answers) for _ in range(int(rest))]
    if kind == b"+":
        return rest
    raise ConnectionError(f"no answer of a Redis server: {line!r}")
