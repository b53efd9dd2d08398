# SPDX-License-Identifier: Apache-2.0
"""Many traces at once, in every kind of concurrency: each notification is stored once, in its trace, below its parent.

A program of its own makes the points of each case and says nothing; what it made is counted in the store alone.
"""

import sqlite3

import pytest
from conftest import run_python
from osprofiler.drivers import base

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

    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(work, range(workers))
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


@pytest.fixture
def store(tmp_path):
    """Return a new store's driver."""
    return base.get_driver(f"sqlite://{tmp_path / 'traces'}")


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
def test_each_notification_is_stored_once_in_its_place(store, base_id, program, workers, traces, outers, inners):
    ended = run_python(COMMON + program, store.connection_str, base_id, workers, traces, outers, inners)
    assert (ended.returncode, ended.stderr) == (0, "")
    steps = outers if program is GENERATORS else 0
    count = 2 * (outers * (1 + inners) + steps)
    expected = {f"{base_id}-{worker}-{trace}" for worker in range(workers) for trace in range(traces)}
    with sqlite3.connect(store.connection_str.removeprefix("sqlite://")) as file:
        counted = dict(file.execute("SELECT base_id, notifications FROM trace"))
        assert file.execute("SELECT count(*) FROM loss").fetchone() == (0,)
    assert counted == dict.fromkeys(expected, count)
    # Reading a million points takes Python a minute, so of many traces every so manieth is looked into.
    every = max(1, len(expected) * outers * inners // 100_000)
    for trace in sorted(expected)[::every]:
        _check(store.get_report(trace)["children"], outers, inners)


def _check(tops, outers, inners):
    """Each outer point is there, ended, with all of its own inner points and with no others."""
    found = []
    for top in tops:
        info = top["info"]
        outer = info["meta.raw_payload.outer-start"]["info"]["outer"]
        assert info["exception"] == "None"
        children = top["children"]
        if children and children[0]["info"]["name"] == "outer_of_steps":
            (steps,) = children
            children = steps["children"]
        numbers = []
        for child in children:
            assert child["info"]["exception"] == "None"
            function = child["info"]["meta.raw_payload.inner-start"]["info"]["function"]
            its_outer, number = map(int, function["args"].strip("()").split(", "))
            assert its_outer == outer
            numbers.append(number)
        assert sorted(numbers) == list(range(inners))
        found.append(outer)
    assert sorted(found) == list(range(outers))
