# SPDX-License-Identifier: Apache-2.0
"""What a person sees while a target works: one line a step, with its seconds; colours only at a terminal.

At a terminal the seconds of the running step tick, so that a long one is seen to live. In a pipe a line is written in
two halves, the name when the step begins and the seconds when it ends.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

WIDTH = 62


def at_terminal() -> bool:
    """Say whether a person reads standard output at a terminal that can do colours."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, code: str) -> str:
    """Return the text in a colour (an ANSI code) where colours are wanted."""
    if not at_terminal() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{code}m{text}\033[0m"


def heading(text: str) -> None:
    """Write a line that opens a part of the output."""
    print(f"\n{paint(text, '1')}", flush=True)


def say(text: str) -> None:
    """Write a line for the person."""
    print(text, flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Show that a step runs, how long it took, and whether it failed."""
    label = f"  {name} ".ljust(WIDTH, ".") + " "
    started = time.monotonic()
    ended = threading.Event()
    ticker = threading.Thread(target=_tick, args=(label, started, ended), daemon=True)
    outcome = paint("failed", "31")
    try:
        sys.stdout.write(label)
        sys.stdout.flush()
        if at_terminal():
            ticker.start()
        yield
        outcome = paint(f"{time.monotonic() - started:6.1f} s", "32")
    finally:
        ended.set()
        if ticker.is_alive():
            ticker.join()
        start = f"\r{label}" if at_terminal() else ""
        print(f"{start}{outcome}", flush=True)


def _tick(label: str, started: float, ended: threading.Event) -> None:
    while not ended.wait(1):
        sys.stdout.write(f"\r{label}{time.monotonic() - started:6.0f} s")
        sys.stdout.flush()
