# SPDX-License-Identifier: Apache-2.0
"""What is recorded reaches the store without the interpreter: no lock of it is taken, and no object of it is kept.

A program records and then stays in native code, with the interpreter's lock in its hands, until the test has seen all
of it in the store. Objects that were recorded end when the program lets go of them, not when they are stored.
"""

import os
import subprocess
import sys
import textwrap
import weakref

import pytest
from conftest import KEY, points, start_info, stop_info
from osprofiler import profiler

from house.waiting import wait_until

COUNT = 2000
SECONDS = 60

HOLDS_THE_LOCK = """
    import ctypes, sys
    from osprofiler import notifier, profiler

    # No thread gets the lock only because this one has had it for some milliseconds.
    sys.setswitchinterval(1e6)
    connection_string, base_id, count = sys.argv[1:]
    notifier.set(notifier.create(connection_string, project="tests", service="lock"))
    profiler.init("key", base_id)

    @profiler.trace("work", info={"text": "a", "number": 1.5, "object": object()}, hide_result=False)
    def work(number, *, password):
        return [number, {"password": password}]

    for number in range(int(count)):
        work(number, password="hunter2")
    # Unlike functions of CDLL, those of PyDLL keep the lock; this one waits for the test.
    byte = ctypes.create_string_buffer(1)
    assert ctypes.PyDLL(None).read(0, byte, 1) == 1
    assert byte.raw == b"."
"""


@pytest.mark.parametrize("scheme", ["file", "sqlite"])
def test_who_holds_the_interpreters_lock_is_not_waited_for(tmp_path, base_id, scheme):
    store = f"{scheme}://{tmp_path / 'traces'}"
    program = [sys.executable, "-c", textwrap.dedent(HOLDS_THE_LOCK), store, base_id, str(COUNT)]
    with subprocess.Popen(program, stdin=subprocess.PIPE) as child:
        try:
            wait_until(lambda: stored(store, base_id) == 2 * COUNT, "everything recorded to be stored", SECONDS)
            assert child.poll() is None
            child.stdin.write(b".")
            child.stdin.close()
            assert child.wait(SECONDS) == 0
        finally:
            child.kill()


def stored(store, base_id):
    """Return how many notifications of a trace a store has."""
    command = [os.environ["OSPROFILER_BIN"], "trace", "export", base_id, "--connection-string", store]
    return len(subprocess.run(command, capture_output=True, check=False).stdout.splitlines())


class Argument:
    """Something that tells what it is, and can be watched."""

    def __repr__(self):
        return "<an argument>"


def test_what_was_recorded_ends_when_the_program_lets_go_of_it(recording, base_id):
    @profiler.trace("work", hide_result=False)
    def work(first, *, second):
        return [first, second]

    profiler.init(KEY, base_id)
    first, second, third = Argument(), Argument(), Argument()
    watched = [weakref.ref(argument) for argument in (first, second, third)]
    work(first, second=second)
    with profiler.Trace("block", info={"third": third, "nested": [third]}):
        del first, second, third
        assert [watch() for watch in watched[:2]] == [None, None]
    # The block had its info in its hands, as any call has its arguments.
    assert watched[2]() is None
    report = recording.report(base_id)
    (work,) = points(report, "work")
    (block,) = points(report, "block")
    assert start_info(work)["function"]["args"] == "(<an argument>,)"
    assert start_info(work)["function"]["kwargs"] == "{'second': <an argument>}"
    assert stop_info(work)["function"]["result"] == "[<an argument>, <an argument>]"
    assert start_info(block) | {"host": None} == {"third": "<an argument>", "nested": ["<an argument>"], "host": None}
