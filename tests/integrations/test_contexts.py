# SPDX-License-Identifier: Apache-2.0
"""Who shares a place in a trace with whom: many requests at a time, under everything that makes them take turns.

A way of running things is a row: what is patched first, how a request lets others go on, and how all are run.
"""

import pytest
from conftest import draw
from programs import run_program

EVENTLET = "import eventlet; eventlet.monkey_patch()"
GEVENT = "import gevent.monkey; gevent.monkey.patch_all(); import gevent.pool"
THREADS = "import concurrent.futures, time"
ASYNCIO = "import asyncio"

# A request, and one that leaves its trace behind for whoever comes next.
REQUEST = """
def serve(number):
    profiler.init("key", f"{base_id}-{number}")
    with profiler.Trace("request"):
        for _ in range(2):
            turn()
            with profiler.Trace("step"):
                turn()
                with profiler.Trace("inner"):
                    turn()
"""
CLEAN = "    profiler.clean()\n"
ASYNC_REQUEST = REQUEST.replace("def serve", "async def serve").replace("turn()", "await turn()")

# How `serve` is run for each of `numbers`.
BY_THREADS = "list(concurrent.futures.ThreadPoolExecutor(8).map(serve, numbers))"
BY_GREENTHREADS = "list(eventlet.GreenPool(size).imap(serve, numbers))"
BY_GREENLETS = "gevent.pool.Pool(size).map(serve, numbers)"
BY_PATCHED_THREADS = """
threads = [threading.Thread(target=serve, args=[number]) for number in numbers]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
BY_TASKS = """
async def main():
    await asyncio.gather(*map(serve, numbers))
asyncio.run(main())
"""
BY_LOOPS = "for number in numbers: asyncio.run(serve(number))"
IN_A_ROW = "for number in numbers: serve(number)"
ASYNCIO_TURN = "await asyncio.sleep(0)"

RUNS = {
    "8 threads": (THREADS, REQUEST + CLEAN, "time.sleep(0)", BY_THREADS),
    "8 threads, nothing cleaned": (THREADS, REQUEST, "time.sleep(0)", BY_THREADS),
    "200 greenthreads": (EVENTLET, REQUEST + CLEAN, "eventlet.sleep(0)", "size = 200; " + BY_GREENTHREADS),
    "3 greenthreads, nothing cleaned": (EVENTLET, REQUEST, "eventlet.sleep(0)", "size = 3; " + BY_GREENTHREADS),
    "200 greenlets": (GEVENT, REQUEST + CLEAN, "gevent.sleep(0)", "size = 200; " + BY_GREENLETS),
    "3 greenlets, nothing cleaned": (GEVENT, REQUEST, "gevent.sleep(0)", "size = 3; " + BY_GREENLETS),
    "patched threads": (GEVENT + "; import threading", REQUEST + CLEAN, "gevent.sleep(0)", BY_PATCHED_THREADS),
    "1,000 tasks": (ASYNCIO, ASYNC_REQUEST, ASYNCIO_TURN, BY_TASKS),
    "tasks, cleaned": (ASYNCIO, ASYNC_REQUEST + CLEAN, ASYNCIO_TURN, BY_TASKS),
    "one loop after the other": (ASYNCIO, ASYNC_REQUEST, ASYNCIO_TURN, BY_LOOPS),
    "one after the other, nothing cleaned": ("", REQUEST, "pass", IN_A_ROW),
}


@pytest.mark.parametrize("name", RUNS)
def test_each_request_is_in_its_own_trace(store, base_id, name):
    first, request, turn, run = RUNS[name]
    count = 1000 if name == "1,000 tasks" else 200
    kind = "async def" if turn == ASYNCIO_TURN else "def"
    run_program(f"numbers = range({count})\n{kind} turn(): {turn}\n{request}\n{run}", store, base_id, first)
    expected = "\n".join(["request", *["  step", "    inner"] * 2])
    ids = set()
    for number in range(count):
        report = store.report(f"{base_id}-{number}")
        assert draw(report) == expected, number
        waiting = list(report["children"])
        while waiting:
            node = waiting.pop()
            ids.add(node["trace_id"])
            waiting += node["children"]
    assert len(ids) == count * 5


# What takes the place along by itself, and what begins outside of any trace.
WAYS = {
    "thread": ("import threading", "t = threading.Thread(target=look); t.start(); t.join()", False),
    "thread pool": (THREADS, "concurrent.futures.ThreadPoolExecutor().submit(look).result()", False),
    "greenthread": (EVENTLET, "eventlet.spawn(look).wait()", False),
    "greenlet": (GEVENT, "gevent.spawn(look).get()", False),
    "greenlet of its own": ("import greenlet", "greenlet.greenlet(look).switch()", False),
    "call_soon": (ASYNCIO, "loop(lambda l: l.call_soon(look))", True),
    "executor": (ASYNCIO, "loop(lambda l: l.run_in_executor(None, look))", False),
    "to_thread": (ASYNCIO, "loop(lambda l: asyncio.ensure_future(asyncio.to_thread(look)))", True),
    "task": (ASYNCIO, "loop(lambda l: l.create_task(look_async()))", True),
    "copied context": ("import contextvars", "contextvars.copy_context().run(look)", True),
    "generator": ("", "list(look() for _ in range(1))", True),
}


@pytest.mark.parametrize("name", WAYS)
def test_what_takes_the_place_along(store, base_id, name):
    first, run, takes_it = WAYS[name]
    run_program(
        f"""
seen = []
def look():
    seen.append(profiler.get())
    work()
async def look_async(): look()
def loop(run):
    async def main():
        run(asyncio.get_running_loop())
        while not seen:
            await asyncio.sleep(0)
    asyncio.run(main())
profiler.init("key", base_id)
with profiler.Trace("request"):
    {run}
    with profiler.Trace("after"): pass
assert (seen[0] is not None) is {takes_it}, seen
""",
        store,
        base_id,
        first,
    )
    assert store.tree(base_id) == ("request\n  work\n  after" if takes_it else "request\n  after")
