# SPDX-License-Identifier: Apache-2.0
"""How long the demo's server is there: as long as a person looks, so that what the demo says to try can be tried.

In: whether it was asked to stay, and whether somebody sits there. Out: a line that says how it ends, and the wait.
"""

import signal
import sys
from enum import Enum

from house.progress import at_terminal, say


class Keeping(Enum):
    """What a server waits for before it ends."""

    NOTHING = "nobody is there"
    ENTER = "press Enter to end it"
    INTERRUPT = "press Ctrl-C to end it"


def chosen(is_asked: bool) -> Keeping:
    """Return what to wait for: Ctrl-C where `--keep` asked for it, Enter where a person sits at a terminal."""
    if is_asked:
        return Keeping.INTERRUPT
    return Keeping.ENTER if at_terminal() and sys.stdin.isatty() else Keeping.NOTHING


def hold(keeping: Keeping, name: str) -> None:
    """Say that the server of that name runs, and wait for what ends it; Ctrl-C always does."""
    if keeping is Keeping.NOTHING:
        return
    say(f"\n{name} runs until then: {keeping.value}")
    try:
        if keeping is Keeping.ENTER:
            sys.stdin.readline()
        else:
            while True:
                signal.pause()
    except KeyboardInterrupt:
        say("")
