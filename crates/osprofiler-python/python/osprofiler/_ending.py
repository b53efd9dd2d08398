# SPDX-License-Identifier: Apache-2.0
"""The end of a process by ``os._exit``, which runs neither Python's exit handlers nor C's: launchers end workers so.

In: each call of ``os._exit`` after a store was attached. Out: the same end, once what was recorded is stored, or the
exit deadline has passed. It never raises anything of its own, and waits for nobody where nothing was recorded.

Not covered: who has taken the function out of ``os`` before, and who ends the process from C.
"""

import functools
import os

from osprofiler import _native


def watch():
    """Have this process and those forked from it end delivery before they end by ``os._exit``."""
    global _is_watching
    if not _is_watching:
        _is_watching = True
        os._exit = _ending(os._exit)


def _ending(before):
    @functools.wraps(before)
    def _exit(status):
        try:
            _native.end()
        finally:
            before(status)

    # A pool of processes finds the function that it is told to call under this name.
    _exit.__module__ = "os"
    return _exit


_is_watching = False
