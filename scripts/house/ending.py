# SPDX-License-Identifier: Apache-2.0
"""The frame round a target's main function: failures told, signals turned into an orderly end, one run at a time."""

import fcntl
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from house.failure import Failure
from house.progress import paint, say

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def framed(main: Callable[[], int]) -> int:
    """Run `main`; return its status, 1 after a failure that it explains, 130 after Ctrl-C or another signal."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    try:
        return main()
    except Failure as failure:
        print(f"{paint('failed', '31')}: {failure}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        say("\ninterrupted: everything that was started has been ended")
        return 130


def _interrupt(_number, _frame) -> None:
    """Begin the orderly end; who presses Ctrl-C again doesn't stop it half-way."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def alone(folder: Path, what: str) -> Iterator[None]:
    """Hold the folder's lock, or fail when another run holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failure(f"another {what} runs in {folder}: wait for its end, then try again") from None
        yield


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock beside `path`, waiting for whoever else makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
