# SPDX-License-Identifier: Apache-2.0
"""Many traces at once, in every kind of concurrency: each notification is stored once, in its trace, below its parent.

A program of its own makes the points of each case and says nothing; what it made is looked for in the store alone, each
notification of each trace. One program more records more than memory holds while the store takes nothing: what is not
there is told as lost.
"""

import contextlib
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading

import pytest
from conftest import run_python

# Each trace: so many points `outer`, each with so many points `inner`, whose arguments say which outer is the parent.
COMMON = """
    import sys
    from osprofiler import _native, notifier, profiler

    connection_string, base_id, workers, traces, outers, inners = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
    notifier.set(notifier.create(connection_string, project="tests", service="stress"))

    @profiler.trace("inner")
    def inner(outer, number):
        pass

    def work(worker, pause=lambda: None):
        for trace in range(traces):
            profiler.init("key", f"{base_id}-{worker}-{trace}")
            for outer in range(outers):
                with profiler.Trace("outer", info={"outer": outer}):
                    pause()
                    for number in range(inners):
                        inner(outer, number)
            profiler.clean()
            # What records faster than a store takes loses; a program that waits now and then does not.
            if traces * outers * inners > 1000:
                _native.flush(60)
"""

THREADS = """
    import threading

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""

TASKS = """
    import asyncio

    async def task(worker):
        profiler.init("key", f"{base_id}-{worker}-0")
        for outer in range(outers):
            with profiler.Trace("outer", info={"outer": outer}):
                for number in range(inners):
                    await asyncio.sleep(0)
                    await nested(outer, number)
        profiler.clean()

    @profiler.trace("inner")
    async def nested(outer, number):
        await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(task(worker) for worker in range(workers)))

    asyncio.run(main())
"""

GREENLETS = """
    import greenlet

    main = greenlet.getcurrent()
    running = [greenlet.greenlet(lambda worker=worker: work(worker, main.switch)) for worker in range(workers)]
    while running:
        for one in running:
            one.switch()
        running = [one for one in running if not one.dead]
"""

FORKS = """
    import os

    children = []
    for worker in range(workers):
        child = os.fork()
        if child == 0:
            work(worker)
            sys.exit()
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
"""

THREAD_POOL = """
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(workers)))
"""

PROCESS_POOL = """
    import multiprocessing

    def work_and_flush(worker):
        work(worker)
        # The four end at once, and may wait longer for one file's lock than an end does.
        _native.flush(60)

    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(work_and_flush, range(workers))
        pool.close()
        pool.join()
"""

GENERATORS = """
    @profiler.trace("outer_of_steps", hide_args=True)
    def steps(outer):
        for number in range(inners):
            inner(outer, number)
            yield

    import contextvars

    def run(worker):
        profiler.init("key", f"{base_id}-{worker}-0")
        running = []
        for outer in range(outers):
            with profiler.Trace("outer", info={"outer": outer}):
                running.append(steps(outer))
                next(running[-1])
        return running

    # Each generator goes on in the context of another trace, and of none.
    contexts = [contextvars.Context() for worker in range(workers)]
    running = [contexts[worker].run(run, worker) for worker in range(workers)]
    for round in range(inners):
        for worker in range(workers):
            for one in running[worker]:
                contexts[(worker + round) % workers].run(next, one, None)
"""


BURST = (
    """
    def work(worker):
        profiler.init("key", f"{base_id}-{worker}")
        for outer in range(outers):
            inner(outer, 0)
        profiler.clean()
"""
    + THREADS
    + """
    # Whoever is in a hurry at the end is told of what that loses by a message alone.
    import json

    print("recorded", flush=True)
    sys.stdin.read()
    print(json.dumps(_native.flush(60)))
"""
)


@pytest.fixture
def path(tmp_path):
    """Return the file of a new store."""
    return tmp_path / "traces"


@pytest.mark.parametrize(
    ("program", "workers", "traces", "outers", "inners"),
    [
        (THREADS, 8, 100, 10, 99),
        (TASKS, 1000, 1, 2, 5),
        (GREENLETS, 200, 2, 5, 20),
        (FORKS, 16, 5, 10, 99),
        (THREAD_POOL, 100, 1, 5, 9),
        (PROCESS_POOL, 100, 1, 5, 9),
        (GENERATORS, 20, 1, 5, 9),
    ],
    ids=["threads", "tasks", "greenlets", "forks", "thread pool", "process pool", "generators"],
)
def test_each_notification_is_stored_once_in_its_place(
    request, capsys, path, base_id, program, workers, traces, outers, inners
):
    ended = run_python(COMMON + program, f"sqlite://{path}", base_id, workers, traces, outers, inners)
    assert (ended.returncode, ended.stderr) == (0, "")
    steps = outers if program is GENERATORS else 0
    count = 2 * (outers * (1 + inners) + steps)
    expected = {f"{base_id}-{worker}-{trace}" for worker in range(workers) for trace in range(traces)}
    # Who reads a trace gets what is there twice once, so what was written is counted, too.
    with sqlite3.connect(path) as file:
        assert dict(file.execute("SELECT base_id, notifications FROM trace")) == dict.fromkeys(expected, count)
        assert file.execute("SELECT count(*) FROM loss").fetchone() == (0,)
    found = set()
    for trace, notifications in exported_by_trace(path):
        assert trace not in found
        found.add(trace)
        check(trace, notifications, outers, inners)
    assert found == expected
    with capsys.disabled():
        told = f"{len(expected)} traces, recorded {count * len(expected)} = stored, each once, below its parent"
        print(f"\n  {request.node.callspec.id}: {told}")


def test_of_a_burst_what_is_not_stored_is_told_as_lost(capsys, path, base_id):
    """Eight threads that never wait, and a store that somebody holds until they have ended."""
    threads, points = 8, 100_000
    arguments = map(str, (f"sqlite://{path}", base_id, threads, 1, points, 0))
    program = [sys.executable, "-c", textwrap.dedent(COMMON + BURST), *arguments]
    with (
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder,
        subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as burst,
    ):
        # Whoever leaves this block waits for its end, however long that takes.
        limit = threading.Timer(300, burst.kill)
        limit.start()
        try:
            holder.execute("BEGIN EXCLUSIVE")
            assert burst.stdout.readline() == "recorded\n"
            holder.execute("ROLLBACK")
            said, _ = burst.communicate()
        finally:
            limit.cancel()
            burst.kill()
    assert burst.returncode == 0
    counters = json.loads(said)
    stored = 0
    for trace, notifications in exported_by_trace(path):
        found = {(each["trace_id"], each["name"]) for each in notifications}
        assert trace.rpartition("-")[0] == base_id
        assert {name for _, name in found} <= {"inner-start", "inner-stop"}
        stored += len(found)
    with sqlite3.connect(path) as file:
        (written,) = file.execute("SELECT sum(notifications) FROM trace").fetchone()
        lost = dict(file.execute("SELECT reason, sum(count) FROM loss GROUP BY reason"))
    recorded, told = 2 * threads * points, sum(lost.values())
    with capsys.disabled():
        print(f"\n  burst: recorded {recorded} = stored {stored} + lost {told} {lost or ''}")
    assert told > 0
    assert recorded == stored + told
    assert (stored, counters["stored"], counters["recorded"]) == (written, written, recorded)
    assert (counters["lost"], counters["waiting"]) == (told, 0)


def exported_by_trace(path):
    """Yield the id of each trace of a store with its notifications."""
    command = [os.environ["OSPROFILER_BIN"], "trace", "export", "--all", "--connection-string", f"sqlite://{path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as export:
        lines = map(json.loads, export.stdout)
        notifications = (line for line in lines if "trace_id" in line)
        yield from itertools.groupby(notifications, key=lambda notification: notification["base_id"])
    assert export.returncode == 0


def check(trace, notifications, outers, inners):
    """Each outer point is there, ended, with all of its own inner points and with no others."""
    starts, stops = {}, {}
    for notification in notifications:
        name, _, kind = notification["name"].rpartition("-")
        ends = {"start": starts, "stop": stops}[kind]
        assert notification["trace_id"] not in ends
        ends[notification["trace_id"]] = name, notification["parent_id"], notification["info"]
    assert {id: start[:2] for id, start in starts.items()} == {id: stop[:2] for id, stop in stops.items()}
    assert not any("etype" in info for _, _, info in stops.values())
    numbers = {id: info["outer"] for id, (name, _, info) in starts.items() if name == "outer"}
    assert {starts[id][1] for id in numbers} == {trace}
    steps = {id: numbers[above] for id, (name, above, _) in starts.items() if name == "outer_of_steps"}
    found = []
    for name, above, info in starts.values():
        if name == "inner":
            outer, number = map(int, info["function"]["args"].strip("()").split(", "))
            assert (steps or numbers)[above] == outer
            found.append((outer, number))
    assert sorted(numbers.values()) == list(range(outers))
    assert sorted(steps.values()) == (list(range(outers)) if steps else [])
    assert sorted(found) == [(outer, number) for outer in range(outers) for number in range(inners)]
