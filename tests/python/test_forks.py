# SPDX-License-Identifier: Apache-2.0
"""A fork in the middle of an open point: what the child opens lies in it, and the process that opened it ends it."""

import json
import subprocess
import sys

import pytest
from conftest import points, run_python
from osprofiler.drivers import base

PROGRAM = """
    import os, sys
    from osprofiler import notifier, profiler

    connection_string, base_id, way, end = sys.argv[1:]
    notifier.set(notifier.create(connection_string, project="tests", service="forks"))
    profiler.init("key", base_id)

    def fork():
        with profiler.Trace("before"):
            pass
        pid = os.fork()
        with profiler.Trace("parent" if pid else "child"):
            if pid:
                assert os.waitpid(pid, 0)[1] == 0
        return pid

    @profiler.trace("outer")
    def function():
        return fork()

    @profiler.trace("outer")
    def generator():
        yield fork()

    if way == "with":
        with profiler.Trace("outer"):
            pid = fork()
    elif way == "start":
        profiler.start("outer")
        pid = fork()
        profiler.stop()
    elif way == "function":
        pid = function()
    else:
        (pid,) = generator()
    if pid == 0 and end == "goes on":
        with profiler.Trace("after in child"):
            pass
    if pid == 0 and end == "own trace":
        profiler.clean()
        profiler.init("key", base_id + "-child")
        with profiler.Trace("own"):
            pass
"""


# Each worker says itself where its points go: one that is spawned inherits nothing.
WORKERS = """
import multiprocessing
import sys


def work(connection_string, base_id):
    from osprofiler import notifier, profiler

    notifier.set(notifier.create(connection_string, project="tests", service="forks"))
    profiler.init("key", base_id)
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


@pytest.fixture
def store(tmp_path):
    """Return a new store's driver; the store is a file of notifications, one a line."""
    return base.get_driver(f"file://{tmp_path / 'traces'}")


@pytest.mark.parametrize("way", ["with", "start", "function", "generator"])
@pytest.mark.parametrize("end", ["ends", "goes on", "own trace"])
def test_a_fork_within_a_point(store, base_id, way, end):
    # From 3.12 on Python warns of a fork beside threads; delivery has one, and stands aside.
    ended = run_python(PROGRAM, store.connection_str, base_id, way, end, PYTHONWARNINGS="ignore::DeprecationWarning")
    assert (ended.returncode, ended.stderr) == (0, "")
    report = store.get_report(base_id)
    (outer,) = points(report, "outer")
    (child,) = points(report, "child")
    assert sorted(_names(report)) == sorted(
        ["outer", "before", "parent", "child"] + ["after in child"] * (end == "goes on")
    )
    assert outer["exception"] == child["exception"] == "None"
    inside = {node["info"]["name"] for node in report["children"][0]["children"]}
    assert inside == {"before", "parent", "child"}
    # Ended once, by the process that opened it, so not before the child has gone.
    with open(store.connection_str.removeprefix("file://")) as lines:
        assert [json.loads(line)["name"] for line in lines].count("outer-stop") == 1
    assert outer["finished"] >= child["finished"]
    if end == "own trace":
        assert _names(store.get_report(f"{base_id}-child")) == ["own"]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("imported", ["by the worker", "before"])
def test_processes_of_multiprocessing_store_what_they_recorded(store, base_id, tmp_path, method, imported):
    program = tmp_path / "program.py"
    program.write_text(WORKERS if imported == "by the worker" else f"import osprofiler.notifier\n{WORKERS}")
    base_ids = [f"{base_id}-{number}" for number in range(3)]
    subprocess.run([sys.executable, program, method, store.connection_str, *base_ids], check=True)
    assert [_names(store.get_report(each)) for each in base_ids] == [["work"]] * 3


def _names(report):
    names, waiting = [], list(report["children"])
    while waiting:
        node = waiting.pop()
        names.append(node["info"]["name"])
        waiting.extend(node["children"])
    return names
