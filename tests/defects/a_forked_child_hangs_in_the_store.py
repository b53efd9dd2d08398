# SPDX-License-Identifier: Apache-2.0
"""A worker that is forked after the store was opened writes for itself, and ends; so does its parent."""

import os
import select
import signal

import seen
from osprofiler import profiler

SECONDS = 10


def service(done):
    """Record, fork, and record on both sides of the fork at once."""
    seen.store()
    seen.trace("before")
    with profiler.Trace("x"):
        pass
    profiler.clean()
    seen.trace("child" if os.fork() == 0 else "parent")
    for _ in range(200):
        with profiler.Trace("x"):
            pass
    os.write(done, b".")
    os._exit(0)


reader, writer = os.pipe()
first = os.fork()
if first == 0:
    os.setpgid(0, 0)
    service(writer)
ended = b""
while len(ended) < 2 and select.select([reader], [], [], SECONDS)[0]:
    ended += os.read(reader, 1)
os.killpg(first, signal.SIGKILL)
seen.wanted(len(ended) == 2, f"{2 - len(ended)} of two processes hang in the connection that they share")
