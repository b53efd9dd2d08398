# SPDX-License-Identifier: Apache-2.0
"""A world of its own with a name server of its own: a program runs where the loopback is the whole network.

    unshare --net --mount python3 tests/servers/names.py RECORDS COMMAND...

RECORDS is a JSON object: by name and type, `{"a.example.test A": ["127.0.0.1"], "_x._tcp.example.test SRV": [[0, 0, 80,
"a.example.test"]]}`. Names that it lacks do not exist. The command finds the name server where every program does.
"""

import fcntl
import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

TYPES = {1: "A", 16: "TXT", 28: "AAAA", 33: "SRV"}
SET_FLAGS, UP = 0x8914, 1
NO_SUCH_NAME = 3


def main() -> int:
    """Run the command that the arguments name, and end with its status."""
    records, command = json.loads(sys.argv[1]), sys.argv[2:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        fcntl.ioctl(server, SET_FLAGS, struct.pack("16sh14x", b"lo", UP))
        server.bind(("127.0.0.1", 53))
        threading.Thread(target=serve, args=(server, records), daemon=True).start()
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
            settings.write("nameserver 127.0.0.1\n")
            settings.flush()
            place = Path("/etc/resolv.conf").resolve()
            subprocess.run(["mount", "--bind", settings.name, place], check=True)
            return subprocess.run(command, check=False).returncode


def serve(server: socket.socket, records: dict[str, list]) -> None:
    """Answer questions until the program ends."""
    while True:
        question, client = server.recvfrom(4096)
        server.sendto(answer(question, records), client)


def answer(question: bytes, records: dict[str, list]) -> bytes:
    """Return the answer to a question about one name."""
    labels, position = [], 12
    while question[position]:
        end = position + 1 + question[position]
        labels.append(question[position + 1 : end].decode().lower())
        position = end
    name = ".".join(labels)
    asked = question[12 : position + 5]
    kind = struct.unpack_from(">H", question, position + 1)[0]
    found = records.get(f"{name} {TYPES.get(kind)}", [])
    exists = any(record.split()[0] == name for record in records)
    flags = 0x8580 | (0 if exists else NO_SUCH_NAME)
    # Each answer points back to the question's name.
    bodies = [
        struct.pack(">HHHIH", 0xC00C, kind, 1, 60, len(data)) + data for data in map(encode, [kind] * len(found), found)
    ]
    return question[:2] + struct.pack(">HHHHH", flags, 1, len(bodies), 0, 0) + asked + b"".join(bodies)


def encode(kind: int, value) -> bytes:
    """Return a record's data."""
    if TYPES[kind] == "A":
        return socket.inet_aton(value)
    if TYPES[kind] == "TXT":
        return bytes([len(value)]) + value.encode()
    priority, weight, port, target = value
    labels = b"".join(bytes([len(label)]) + label.encode() for label in target.split("."))
    return struct.pack(">HHH", priority, weight, port) + labels + b"\0"


if __name__ == "__main__":
    sys.exit(main())
