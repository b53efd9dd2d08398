# SPDX-License-Identifier: Apache-2.0
"""Launchers of workers that services really run under: gunicorn and oslo.service, each with two forked workers.

Whichever worker serves a request, each of its notifications is stored once, in its own trace, below the right parent,
also when the server is told to end while a worker serves. uWSGI is in test_uwsgi.py.
"""

import collections
import os
import signal
import threading
import uuid

import pytest
import serving
from conftest import draw, exported
from osprofiler.drivers import base
from serving import Request

REQUESTS = 24
STEPS = 20

GUNICORN_SAYS = "Handling signal: term"
OSLO_SAYS = "Caught SIGTERM"
# How to start each, and what it says when it is told to end.
SERVERS = {
    "gunicorn-sync": (serving.gunicorn, ["--worker-class", "sync"], GUNICORN_SAYS),
    "gunicorn-sync-preload": (serving.gunicorn, ["--worker-class", "sync", "--preload"], GUNICORN_SAYS),
    "gunicorn-gthread": (serving.gunicorn, ["--worker-class", "gthread", "--threads", "4"], GUNICORN_SAYS),
    "gunicorn-gthread-preload": (
        serving.gunicorn,
        ["--worker-class", "gthread", "--threads", "4", "--preload"],
        GUNICORN_SAYS,
    ),
    "oslo-eventlet": (serving.launcher, ["eventlet"], OSLO_SAYS),
    "oslo-threading": (serving.launcher, ["threading"], OSLO_SAYS),
}


@pytest.fixture(params=SERVERS)
def server(request, tmp_path):
    """Return a running server of each kind."""
    start, options, says = SERVERS[request.param]
    store = f"sqlite://{tmp_path}/trace"
    started = start(tmp_path, {"TRACE_STORE": store}, *options)
    started.store, started.says = store, says
    yield started
    started.stop()


def test_workers_record_for_themselves(server, capsys):
    ids = [str(uuid.uuid4()) for _ in range(REQUESTS)]
    path = f"/work?count={STEPS}"
    threads = [threading.Thread(target=server.get, args=(path, base_id)) for base_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.stop() == 0
    expected = "wsgi\n  work" + "\n    step" * STEPS
    check(server, capsys, dict.fromkeys(ids, expected))


def test_told_to_end_in_mid_request(server, capsys):
    """The request under way is answered, and its last points are recorded just before its worker ends."""
    ended, waiting = str(uuid.uuid4()), str(uuid.uuid4())
    assert server.get("/work", ended) == (200, "worked")
    request = Request(server, waiting)
    server.signal()
    server.await_output(server.says)
    assert request.finish() == (200, "waited")
    assert server.wait() == 0
    check(server, capsys, {ended: "wsgi\n  work\n    step", waiting: "wsgi\n  wait\n    after"})


@pytest.mark.parametrize("server", ["oslo-eventlet", "oslo-threading"], indirect=True)
def test_ended_at_once_in_mid_request(server, capsys):
    """Ctrl-C reaches the workers too, which end by `os._exit` where they are: in the middle of two points."""
    waiting = str(uuid.uuid4())
    request = Request(server, waiting)
    os.killpg(server.server.child.pid, signal.SIGINT)
    assert isinstance(request.outcome(), Exception)
    check(server, capsys, {waiting: "wsgi (never ended)\n  wait (never ended)"})


def check(server, capsys, drawn):
    """Check that each trace is the tree, with a start and a stop for each of its points, and that nothing is lost."""
    driver = base.get_driver(server.store)
    recorded = stored = 0
    for base_id, expected in drawn.items():
        report = driver.get_report(base_id)
        assert draw(report) == expected
        assert "lost" not in report["info"]
        found = collections.Counter(
            (notification["trace_id"], notification["name"]) for notification in exported(server.store, base_id)
        )
        assert set(found.values()) == {1}
        recorded += 2 * len(expected.splitlines()) - expected.count("(never ended)")
        stored += len(found)
    assert {trace["base_id"] for trace in driver.list_traces()} == set(drawn)
    with capsys.disabled():
        print(f"\n  recorded {recorded} = stored {stored} + lost 0")
    assert recorded == stored
