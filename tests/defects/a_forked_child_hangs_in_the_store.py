# SPDX-License-Identifier: Apache-2.0
"""A worker that is forked after the store was opened writes for itself, and ends; so does its parent."""

import logging
import os
import select
import signal

import seen
from osprofiler import profiler

SECONDS = 30


class Told(logging.Handler):
    """Tells the first process of an error that is logged."""

    def emit(self, record):
        os.write(writer, b"!")


def service(done):
    """Record, fork, and record on both sides of the fork at once."""
    logging.basicConfig(level=logging.ERROR, handlers=[Told()])
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
said = b""
while said.count(b".") < 2 and select.select([reader], [], [], SECONDS)[0]:
    said += os.read(reader, 1)
os.killpg(first, signal.SIGKILL)
hung = 2 - said.count(b".")
seen.wanted(
    said == b"..", f"of two processes that share a connection {hung} hang, and {said.count(b'!')} errors are logged"
)
