# SPDX-License-Identifier: Apache-2.0
"""A place in a trace is carried into whatever runs a function elsewhere, and left there as it was.

An executor is a row of `EXECUTORS`: what is patched first, the executor, and how a function is run there to its end.
"""

import asyncio
import concurrent.futures
import functools
import inspect
import multiprocessing
import pickle
import subprocess
import threading

import pytest
from conftest import drawn, own_frames
from osprofiler import profiler
from osprofiler.context import carry, carry_executor
from programs import run_program

EVENTLET = "import eventlet; eventlet.monkey_patch()"
GEVENT = "import gevent.monkey; gevent.monkey.patch_all(); import gevent.pool"

EXECUTORS = {
    "concurrent.futures, submit": (
        "import concurrent.futures",
        "concurrent.futures.ThreadPoolExecutor(1)",
        "executor.submit(function).result()",
    ),
    "concurrent.futures, map": (
        "import concurrent.futures",
        "concurrent.futures.ThreadPoolExecutor(1)",
        "list(executor.map(lambda _: function(), [1]))",
    ),
    "concurrent.futures, asyncio": (
        "import asyncio, concurrent.futures",
        "concurrent.futures.ThreadPoolExecutor(1)",
        "asyncio.run(in_executor(executor, function))",
    ),
    "multiprocessing.pool": (
        "import multiprocessing.pool",
        "multiprocessing.pool.ThreadPool(1)",
        "executor.apply_async(function).get(), executor.map(lambda _: None, [1])",
    ),
    "futurist, threads": ("import futurist", "futurist.ThreadPoolExecutor(1)", "executor.submit(function).result()"),
    "futurist, greenthreads": (
        EVENTLET + "; import futurist",
        "futurist.GreenThreadPoolExecutor(1)",
        "executor.submit(function).result()",
    ),
    "eventlet, spawn": (EVENTLET, "eventlet.GreenPool(1)", "executor.spawn(function).wait()"),
    "eventlet, spawn_n": (EVENTLET, "eventlet.GreenPool(1)", "executor.spawn_n(function); executor.waitall()"),
    "eventlet, imap": (EVENTLET, "eventlet.GreenPool(1)", "list(executor.imap(lambda _: function(), [1]))"),
    "eventlet, starmap": (EVENTLET, "eventlet.GreenPool(1)", "list(executor.starmap(lambda _: function(), [(1,)]))"),
    "eventlet, tpool": (EVENTLET + "; import eventlet.tpool", None, "eventlet.tpool.execute(function)"),
    "gevent, spawn": (GEVENT, "gevent.pool.Pool(1)", "executor.spawn(function).get()"),
    "gevent, imap_unordered": (
        GEVENT,
        "gevent.pool.Pool(1)",
        "list(executor.imap_unordered(lambda _: function(), [1]))",
    ),
    "gevent, thread pool": (
        GEVENT + "; import gevent.threadpool",
        "gevent.threadpool.ThreadPool(1)",
        "executor.spawn(function).get()",
    ),
    "thread": ("import threading", None, "t = threading.Thread(target=function); t.start(); t.join()"),
    "gevent, greenlet": (GEVENT, None, "gevent.spawn(function).get()"),
    "eventlet, greenthread": (EVENTLET, None, "eventlet.spawn(function).wait()"),
}


@pytest.mark.parametrize("name", EXECUTORS)
def test_work_elsewhere_hangs_below_the_point_it_was_given_in(store, base_id, name):
    first, executor, run = EXECUTORS[name]
    run_program(
        f"""
        from osprofiler.context import carry, carry_executor

        executor = {executor}


        async def in_executor(executor, function):
            import asyncio
            await asyncio.get_running_loop().run_in_executor(executor, function)


        def run(executor, function):
            {run}


        def stray():
            strays.append(profiler.get())


        profiler.init("key", base_id)
        strays = []
        with profiler.Trace("request"):
            run(executor, carry(work))
            if executor is not None:
                run(carry_executor(executor), work)
            run(executor, stray)
            with profiler.Trace("after"):
                pass
        profiler.clean()
        run(executor, carry(stray))
        assert strays == [None, None], strays
        """,
        store,
        base_id,
        first,
    )
    works = ["  work"] * (1 if executor is None else 2)
    assert store.tree(base_id) == "\n".join(["request", *works, "  after"])


@pytest.mark.parametrize(
    "schedule",
    [
        "asyncio.get_running_loop().call_soon(function)",
        "asyncio.get_running_loop().call_later(0, function)",
        "asyncio.get_running_loop().call_soon_threadsafe(function)",
        "threading.Thread(target=asyncio.get_running_loop().call_soon_threadsafe, args=[function]).start()",
    ],
    ids=["call_soon", "call_later", "call_soon_threadsafe", "from a thread"],
)
def test_work_of_a_loop_hangs_below_the_point_it_was_given_in(recording, base_id, schedule):
    async def main():
        profiler.init("key", base_id)
        done = asyncio.Event()

        def work():
            with profiler.Trace("work"):
                pass
            done.set()

        with profiler.Trace("request"):
            function = carry(work)
        with profiler.Trace("other"):
            eval(schedule, {"asyncio": asyncio, "threading": threading, "function": function})
            await done.wait()

    asyncio.run(main())
    assert recording.tree(base_id) == drawn("""
        request
          work
        other
    """)


def test_a_coroutine_function_stays_one_and_is_carried(recording, base_id):
    async def work(number):
        with profiler.Trace("work"):
            await asyncio.sleep(0)
        return number

    async def main():
        profiler.init("key", base_id)
        with profiler.Trace("request"):
            carried = carry(work)
        assert inspect.iscoroutinefunction(carried)
        with profiler.Trace("other"):
            assert await carried(1) == 1
            assert await asyncio.gather(carried(2), carried(3)) == [2, 3]
            with profiler.Trace("inside"):
                pass

    asyncio.run(main())
    assert recording.tree(base_id) == drawn("""
        request
          work
          work
          work
        other
          inside
    """)


def test_an_executor_passes_for_what_it_is(recording, base_id):
    """No other executor may be the default one of asyncio."""

    def work():
        with profiler.Trace("work"):
            pass

    async def main():
        profiler.init("key", base_id)
        executor = carry_executor(concurrent.futures.ThreadPoolExecutor(1))
        asyncio.get_running_loop().set_default_executor(executor)
        with profiler.Trace("request"):
            await asyncio.get_running_loop().run_in_executor(None, work)
            assert executor._max_workers == 1

    asyncio.run(main())
    assert recording.tree(base_id) == "request\n  work"


def double(number):
    return number * 2, profiler.get() is None


def test_a_pool_of_processes_works_on_untraced(collected):
    profiler.init("key", "B")
    carried = carry(double)
    assert pickle.loads(pickle.dumps(carried)) is double
    with profiler.Trace("request"), carry_executor(concurrent.futures.ProcessPoolExecutor(1, SPAWN)) as executor:
        assert executor.submit(double, 2).result() == (4, True)
        assert list(executor.map(double, [1, 2])) == [(2, True), (4, True)]


SPAWN = multiprocessing.get_context("spawn")


def test_what_a_function_returns_raises_and_leaves_open_is_its_own(collected):
    def fail(argument, *, word):
        profiler.start("left open")
        raise ValueError(argument, word)

    profiler.init("key", "B")
    place = profiler.get().get_id()
    with pytest.raises(ValueError, match="'argument', 'word'"):
        carry(fail)("argument", word="word")
    assert profiler.get().get_id() == place
    assert carry(lambda: 7)() == 7
    assert carry(functools.partial(max, 1))(2) == 2
    assert carry(double).__name__ == "double"


def test_a_function_carried_from_outside_of_a_trace_runs_outside_of_any(collected):
    outside = carry(lambda: profiler.get())
    profiler.init("key", "B")
    assert outside() is None
    assert profiler.get() is not None


def test_work_after_the_end_of_its_trace_is_still_recorded(recording, base_id):
    profiler.init("key", base_id)
    with profiler.Trace("request"):

        @carry
        def work():
            with profiler.Trace("work"):
                pass

    profiler.clean()
    work()
    assert profiler.get() is None
    assert recording.tree(base_id) == "request\n  work"


# What the clock of the program says, plus what the program adds.
CLOCK = """
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
long seconds_later;
int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_MONOTONIC) now->tv_sec += seconds_later;
    return result;
}
"""


def test_work_more_than_a_minute_after_the_end_is_dropped_and_counted(store, base_id, tmp_path, monkeypatch):
    library = tmp_path / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-xc", "-", "-o", library], input=CLOCK, text=True, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    run_program(
        """
        import ctypes
        import io
        import logging
        from osprofiler import _native
        from osprofiler.context import carry

        log = io.StringIO()
        logging.basicConfig(stream=log)
        profiler.init("key", base_id)
        with profiler.Trace("request"):
            late = carry(work)
        profiler.clean()
        late()
        ctypes.c_long.in_dll(ctypes.CDLL(None), "seconds_later").value = 62
        late()
        late()
        assert _native.counters()["late"] == 2, _native.counters()
        _native.log_messages()
        assert log.getvalue().count("its trace has been over for more than 60 seconds") == 1, log.getvalue()
        """,
        store,
        base_id,
    )
    assert store.tree(base_id) == "request\n  work"


class Refusing:
    """An executor that cannot be entered, or not be left."""

    def __init__(self, moment):
        self.moment = moment

    def __enter__(self):
        assert self.moment != "entered", "it cannot be entered"

    def __exit__(self, *raised):
        raise RuntimeError("it cannot be left")


@pytest.mark.parametrize("moment", ["entered", "left"])
def test_an_executor_that_cannot_be_used_shows_no_frame_of_ours(moment):
    executor = carry_executor(Refusing(moment))
    with pytest.raises((AssertionError, RuntimeError), match=f"it cannot be {moment}") as raised, executor:
        pass
    assert own_frames(raised.value) == []
