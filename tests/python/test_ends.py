# SPDX-License-Identifier: Apache-2.0
"""Processes that end by `os._exit`, as launchers end their workers: what they recorded is stored before, or counted.

Each program records more than the thread that stores can have taken by then.
"""

import collections
import contextlib
import sqlite3
import subprocess
import sys
import textwrap

import pytest
from conftest import exported, run_python
from osprofiler.drivers import base

COUNT = 1000

PROGRAM = """
    import os, signal, sys, threading
    from osprofiler import notifier, profiler

    connection_string, base_id, way = sys.argv[1:]
    notifier.set(notifier.create(connection_string, project="tests", service="ends"))

    def record(base_id=base_id):
        profiler.init("key", base_id)
        for _ in range(1000):
            with profiler.Trace("work"):
                pass
        profiler.clean()

    def child(work):
        pid = os.fork()
        if pid == 0:
            work()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

    if way == "at once":
        record()
        os._exit(7)
    elif way == "by keyword":
        record()
        os._exit(status=7)
    elif way == "on a thread":
        record()
        threading.Thread(target=os._exit, args=(7,)).start()
        threading.Event().wait()
    elif way == "in a signal handler":
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        record()
        os.kill(os.getpid(), signal.SIGTERM)
    elif way == "after a status that is none":
        record()
        try:
            os._exit(None)
        except TypeError:
            sys.exit(7)
    elif way == "in a child":
        child(record)
        os._exit(7)
    elif way == "beside a child that recorded nothing":
        record()
        child(lambda: None)
        os._exit(7)
    elif way == "in parent and child":
        record()
        child(lambda: record(base_id + "-child"))
        os._exit(7)
"""

WAYS = [
    "at once",
    "by keyword",
    "on a thread",
    "in a signal handler",
    "after a status that is none",
    "in a child",
    "beside a child that recorded nothing",
    "in parent and child",
]

# Each worker says itself where its points go: one that is spawned inherits nothing.
WORKERS = """
    import multiprocessing, sys

    def work(connection_string, base_id):
        from osprofiler import notifier, profiler

        notifier.set(notifier.create(connection_string, project="tests", service="ends"))
        profiler.init("key", base_id)
        for _ in range(1000):
            with profiler.Trace("work"):
                pass
        profiler.clean()

    if __name__ == "__main__":
        method, connection_string, *base_ids = sys.argv[1:]
        context = multiprocessing.get_context(method)
        processes = [context.Process(target=work, args=(connection_string, base_id)) for base_id in base_ids]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            assert process.exitcode == 0
"""


@pytest.fixture(params=["sqlite", "file"])
def store(request, tmp_path):
    """Return a new store's driver."""
    return base.get_driver(f"{request.param}://{tmp_path / 'traces'}")


@pytest.mark.parametrize("way", WAYS)
def test_everything_recorded_before_is_stored(store, base_id, way):
    ended = run_python(PROGRAM, store.connection_str, base_id, way)
    assert (ended.returncode, ended.stderr) == (7, "")
    assert_complete(store, base_id)
    if way == "in parent and child":
        assert_complete(store, f"{base_id}-child")


@pytest.mark.parametrize("way", ["at once", "in a child"])
def test_a_store_that_hangs_costs_the_deadline_and_is_told(tmp_path, base_id, way):
    path = tmp_path / "traces"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        # Nothing ends the transaction: that the program ends at all is its deadline's doing.
        ended = run_python(PROGRAM, f"sqlite://{path}", base_id, way)
    assert ended.returncode == 7
    told = f"{2 * COUNT} trace notifications are lost: `sqlite://{path}` did not take them within 2000 ms"
    assert told in ended.stderr


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("imported", ["by the worker", "before"])
def test_processes_of_multiprocessing(store, base_id, tmp_path, method, imported):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(WORKERS))
    if imported == "before":
        program.write_text(f"import osprofiler.notifier\n{program.read_text()}")
    base_ids = [f"{base_id}-{number}" for number in range(3)]
    subprocess.run([sys.executable, program, method, store.connection_str, *base_ids], check=True)
    for each in base_ids:
        assert_complete(store, each)


def test_nothing_is_put_in_its_place_without_a_store():
    ended = run_python(
        """
        import os, posix
        from osprofiler import notifier, profiler

        notifier.set([].append)
        profiler.init("key")
        with profiler.Trace("work"):
            pass
        assert os._exit is posix._exit
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_what_is_put_in_its_place_passes_for_it(tmp_path):
    ended = run_python(
        """
        import concurrent.futures, multiprocessing, os, posix, sys
        from osprofiler import notifier

        notifier.set(notifier.create(sys.argv[1]))
        assert os._exit is not posix._exit
        with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            try:
                pool.submit(os._exit, 7).result()
            except concurrent.futures.BrokenExecutor:
                sys.exit(7)
        """,
        f"file://{tmp_path / 'traces'}",
    )
    assert (ended.returncode, ended.stderr) == (7, "")


def assert_complete(store, base_id):
    """Assert that each of a trace's points is stored from start to stop, once, and none is lost."""
    found = collections.Counter(
        (notification["trace_id"], notification["name"]) for notification in exported(store.connection_str, base_id)
    )
    assert set(found.values()) == {1}
    starts, stops = ({each for each, name in found if name == f"work-{end}"} for end in ("start", "stop"))
    assert starts == stops
    assert (len(starts), len(found)) == (COUNT, 2 * COUNT)
    assert "lost" not in store.get_report(base_id)["info"]
