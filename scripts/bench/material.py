# SPDX-License-Identifier: Apache-2.0
"""The big trace that reports are measured on: a recorded one, repeated with fresh ids until it is big enough."""

import json
from collections.abc import Iterator
from pathlib import Path

from house.places import CLONE

RECORDED = CLONE / "fixtures" / "server-show.jsonl"
BASE_ID = "5cc13240-e12c-4ac8-816d-b30c9d982bc3"
NOTIFICATIONS = 100_000


def write_big_trace(path: Path) -> None:
    """Write a trace of 100,000 notifications, one a line."""
    with path.open("w") as output:
        for number, notification in enumerate(_endless()):
            if number == NOTIFICATIONS:
                return
            output.write(json.dumps(notification) + "\n")


def _endless() -> Iterator[dict]:
    """Yield the recorded trace again and again; every copy has ids of its own below the one base id."""
    recorded = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    copy = 0
    while True:
        for notification in recorded:
            ids = {key: _copied(notification[key], copy) for key in ("trace_id", "parent_id")}
            yield {**notification, **ids}
        copy += 1


def _copied(identifier: str, copy: int) -> str:
    """Return a UUID that is a function of both; the base id stays, for it is the parent of the top level."""
    return identifier if identifier == BASE_ID else f"{copy:08x}{identifier[8:]}"
