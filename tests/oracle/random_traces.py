# SPDX-License-Identifier: Apache-2.0
"""Traces that are random and the same in each run: what real ones have, and what they should not have.

Names have no hyphens of their own and parents form no cycles, since upstream mistakes both: other tests say what is
expected there.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path

RECORDED = sorted((Path(__file__).parents[2] / "fixtures").glob("*.jsonl"))
RANDOM = 300
NAMES = ("wsgi", "db", "rpc", "driver", "neutron.db", "http", "nonstop", "", "café")
SERVICES = (("keystone", "public"), ("nova", "osapi_compute"), (None, None), ("glance", None), ("naïve", "ключ"))
ERROR_TYPES = ("ValueError", "nova.exception.InstanceNotFound", "", None, 7, {"a": [1]}, [], False)
VALUES = (
    "text",
    "",
    "\x00\x1b\x7f\u2028\ud800 \U0001f600",
    0,
    -1,
    2**80,
    0.1,
    1e300,
    float("nan"),
    float("-inf"),
    True,
    None,
    [],
    {},
    [[], {}, [{}]],
    {"deep": {"deeper": [1, {"x": [None]}]}},
)


def traces() -> Iterator[tuple[str, list[dict]]]:
    """Yield names of traces and their notifications, in an order in which a store may have them."""
    for seed in range(RANDOM):
        yield f"random-{seed:03}", notifications(random.Random(seed))


def notifications(numbers: random.Random) -> list[dict]:
    """Return the notifications of one trace."""
    span_us = numbers.choice((3, 3_000, 3_000_000, 30_000_000_000))
    events: list[dict] = []
    for point in range(numbers.randint(1, 60)):
        parent = numbers.choice(("B", "GONE", *map(str, range(point))))
        name = numbers.choice(NAMES)
        project, service = numbers.choice(SERVICES)
        ends = numbers.choice(("start stop", "start stop", "start stop", "start", "stop"))
        for end in ends.split():
            info = {
                key: numbers.choice(VALUES) for key in numbers.sample(("a", "b", "db", "ключ"), numbers.randint(0, 3))
            }
            if end == "stop" and numbers.random() < 0.2:
                info |= {"etype": numbers.choice(ERROR_TYPES), "message": numbers.choice(VALUES)}
            if numbers.random() < 0.95:
                info["host"] = numbers.choice(("h1", "h2", "", None, 5))
            event = {
                "name": f"{name}-{end}",
                "base_id": "B",
                "trace_id": str(point),
                "parent_id": parent,
                "timestamp": timestamp(numbers.randrange(span_us)),
                "info": info,
                "project": project,
                "service": service,
            }
            events.append(event)
            if numbers.random() < 0.1:
                events.append(
                    event | numbers.choice(({}, {"timestamp": timestamp(numbers.randrange(span_us))}, {"name": "odd"}))
                )
    if numbers.random() < 0.5:
        numbers.shuffle(events)
    return events


def timestamp(micros: int) -> str:
    """Return the time so long after a year began."""
    seconds, fraction = divmod(micros, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"2026-01-01T{hours:02}:{minute:02}:{second:02}.{fraction:06}"


def lines(events: list[dict]) -> str:
    """Return the notifications as a file of JSON lines."""
    return "".join(json.dumps(event) + "\n" for event in events)
