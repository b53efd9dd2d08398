# SPDX-License-Identifier: Apache-2.0
"""What the tests of the Python package share: stores to write into, and traces drawn as indented trees."""

import json
import os
import subprocess
import sys
import textwrap
import traceback
import uuid

import osprofiler
import pytest
from osprofiler import _native, notifier, profiler
from osprofiler.drivers import base

KEY = "key"


class Store:
    """A store, and what it holds after everything recorded so far has arrived."""

    def __init__(self, connection_string, service):
        self.connection_string = connection_string
        self.service = service
        self.driver = base.get_driver(connection_string, project="tests", service=service)

    def report(self, base_id):
        """Return the report of a trace."""
        counters = _native.flush(60)
        assert counters["waiting"] == 0
        return self.driver.get_report(base_id)

    def tree(self, base_id):
        """Return a trace as an indented tree, its point's name and its error's type a line."""
        return draw(self.report(base_id))


def draw(report):
    """Draw a report as an indented tree."""
    lines = []

    def add(nodes, level):
        for node in nodes:
            info = node["info"]
            error = info.get("exception", "never ended")
            lines.append("  " * level + info["name"] + ("" if error == "None" else f" ({error})"))
            add(node["children"], level + 1)

    add(report["children"], 0)
    return "\n".join(lines)


def drawn(text):
    """Return the expected drawing, without the indentation of the test."""
    return textwrap.dedent(text).strip("\n")


def points(report, name):
    """Return the info of each point with that name, in order."""
    found = []
    waiting = list(reversed(report["children"]))
    while waiting:
        node = waiting.pop()
        if node["info"]["name"] == name:
            found.append(node["info"])
        waiting.extend(reversed(node["children"]))
    return found


def start_info(info):
    """Return what a point's start carried."""
    return info[f"meta.raw_payload.{info['name']}-start"]["info"]


def stop_info(info):
    """Return what a point's stop carried."""
    return info[f"meta.raw_payload.{info['name']}-stop"]["info"]


def exported(connection_string, base_id):
    """Return the notifications of a trace as the store has them: one that is there twice is twice in it."""
    command = [os.environ["OSPROFILER_BIN"], "trace", "export", base_id, "--connection-string", connection_string]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in ended.stdout.splitlines()]


def own_frames(error):
    """Return the lines about frames of the package in what Python prints of an error, and of those behind it."""
    package = os.path.dirname(osprofiler.__file__) + os.sep
    printed = "".join(traceback.format_exception(error))
    return [line for line in printed.splitlines() if package in line]


@pytest.fixture(params=["no trace", "a trace"])
def maybe_tracing(request):
    """Return nothing; the test runs outside of any trace, and inside one."""
    profiler.clean()
    if request.param == "a trace":
        notifier.set(lambda notification: None)
        profiler.init("key")
    yield
    notifier.set(notifier._noop_notifier)
    profiler.clean()


@pytest.fixture(scope="session", params=["sqlite", "file"])
def store(request, tmp_path_factory):
    """One store of each kind for all tests of this process: a process has room for a few only."""
    folder = tmp_path_factory.mktemp(request.param)
    # Who records decides about the store, so each store has a service of its own.
    return Store(f"{request.param}://{folder / 'traces'}", service=request.param)


@pytest.fixture
def recording(store):
    """Return the store, with this process's points going there and no trace open before and after."""
    profiler.clean()
    notifier.set(store.driver.notify)
    yield store
    notifier.set(notifier._noop_notifier)
    profiler.clean()


@pytest.fixture
def base_id():
    """Return the id of a new trace."""
    return str(uuid.uuid4())


@pytest.fixture
def collected():
    """Return the notifications that this process makes, as a notifier made in Python gets them."""
    profiler.clean()
    notifications = []
    notifier.set(notifications.append)
    yield notifications
    notifier.set(notifier._noop_notifier)
    profiler.clean()


def run_python(code, *arguments, **environment):
    """Run a script in a new process and return it, ended, with its output: it may wait for a store meanwhile."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
