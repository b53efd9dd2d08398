# SPDX-License-Identifier: Apache-2.0
"""A fork in the middle of an open point: what the child opens lies in it, and the process that opened it ends it."""

import json

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


def _names(report):
    names, waiting = [], list(report["children"])
    while waiting:
        node = waiting.pop()
        names.append(node["info"]["name"])
        waiting.extend(node["children"])
    return names
