# SPDX-License-Identifier: Apache-2.0
"""Log Insight that is away, refuses or hangs: the service goes on, nothing is lost in silence.

The server is a stand-in (tests/servers/loginsight.py).
"""

import json
import threading

import pytest
from recording import Service

from servers.loginsight import PASSWORD, LogInsight, contents
from servers.stores import PATIENT

ID = "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee"


@pytest.fixture
def server(tmp_path):
    """Return a server that does not run yet."""
    return LogInsight(tmp_path)


def count(command, server, base_id=ID):
    """Return how many notifications of a trace the store has, each once."""
    done = command("trace", "export", base_id, "--connection-string", server.url())
    assert done.returncode == 0, done.stderr
    # What was lost is a line of its own.
    return done.stdout.count('"trace_id"')


def ingested(path, answer):
    """Return what a test has the server say to events."""
    return answer if "/ingest/" in path else None


def test_a_store_that_comes_late(server, command):
    """Down at the start: what was recorded waits."""
    with server:
        url = server.url()
    with Service(url) as service:
        assert service.record(ID, 50)["recorded"] == 100
        service.await_said("nobody listens there")
        assert service.flush(0)["waiting"] == 100
        with server:
            assert service.flush()["stored"] == 100
            assert count(command, server) == 100
    assert service.log.count("cannot store trace notifications") == 1
    assert PASSWORD not in service.log


def test_a_store_that_is_restarted(server, command):
    """A connection that it closed is replaced, and what was recorded meanwhile is stored."""
    with server:
        url = server.url()
        service = Service(url)
        service.record(ID, 50)
        assert service.flush()["stored"] == 100
    service.record(ID, 20)
    assert service.flush(0.1)["waiting"] == 40
    with server:
        assert service.flush()["stored"] == 140
        service.__exit__(None)
        assert count(command, server) == 140


def test_a_connection_that_the_server_closed(server, command):
    """As servers do with those that are idle for long: nobody is told."""
    with server, Service(server.url(PATIENT)) as service:
        service.record(ID, 5)
        service.flush()
        server.hang_up()
        service.record(ID, 5)
        assert service.flush()["stored"] == 20
        assert count(command, server) == 20
    assert "cannot store" not in service.log


def test_a_store_that_hangs(server, command):
    """A call costs its time-out; what may have been stored twice is read once."""
    goes_on = threading.Event()
    hangs = []

    def hang(method, path, body):
        if "/ingest/" in path and hangs:
            goes_on.wait()

    server.say = hang
    with server, Service(server.url("socket_timeout=1&connect_timeout=1")) as service:
        service.record(ID, 50)
        assert service.flush()["stored"] == 100
        hangs.append(True)
        service.record(ID, 50)
        service.await_said("it does not answer in time")
        counters = service.flush(0)
        assert (counters["stored"], counters["waiting"]) == (100, 100)
        hangs.clear()
        goes_on.set()
        counters = service.flush()
        assert (counters["stored"], counters["lost"]) == (200, 0)
        assert count(command, server) == 200


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((503, {"errorMessage": "overloaded"}), "overloaded (status 503)"),
        ((429, ""), "the status 429"),
        ((401, "Invalid session ID"), "the status 401"),
        ((200, "<html>down for maintenance</html>"), "not Log Insight"),
        ((302, ""), "`ingest_tls=true`"),
        ((404, "gone"), "`ingest_tls=true`"),
        ((507, {"errorMessage": "disk full"}), "disk full"),
    ],
)
def test_what_passes_is_waited_for(server, command, answer, expected):
    """Whatever an administrator puts right."""
    server.say = lambda method, path, body: ingested(path, answer)
    with server, Service(server.url()) as service:
        service.record(ID, 50)
        service.await_said(expected)
        assert service.flush(0)["waiting"] == 100
        server.say = lambda method, path, body: None
        counters = service.flush()
        assert (counters["stored"], counters["lost"]) == (100, 0)
        assert count(command, server) == 100
    assert service.log.count("cannot store trace notifications") == 1


def test_what_the_server_refuses_takes_nothing_else_along(server, command):
    """One notification of a batch; it is counted, in the report, too."""

    def refuse(method, path, body):
        if "/ingest/" in path and any(
            json.loads(contents(event)["trace"])["trace_id"] == refused[0]
            for event in json.loads(body)["events"]
            if "trace" in contents(event)
        ):
            return 400, {"errorMessage": "I don't like it"}
        return None

    with server, Service(server.url()) as service:
        service.record(ID, 20)
        assert service.flush()["stored"] == 40
        # The next point's id is not known before: the first that comes is refused, start and stop.
        refused = [""]

        def choose(method, path, body):
            if "/ingest/" in path and not refused[0]:
                refused[0] = contents(json.loads(body)["events"][0])["trace_id"]
            return refuse(method, path, body)

        server.say = choose
        service.record(ID, 30)
        counters = service.flush()
        assert (counters["stored"], counters["lost"], counters["waiting"]) == (98, 2, 0)
        assert count(command, server) == 98
        done = command("trace", "show", "--json", ID, "--connection-string", server.url())
        assert json.loads(done.stdout)["info"]["lost"] == 2


def test_a_server_that_refuses_everything(server):
    """It is not asked for each notification; all of them are lost, and it is told why."""
    server.say = lambda method, path, body: ingested(path, (400, {"errorMessage": "I don't like it"}))
    with server, Service(server.url()) as service:
        service.record(ID, 500)
        counters = service.flush()
        assert (counters["stored"], counters["lost"]) == (0, 1000)
        assert len(server.requests) < 200
    assert "I don't like it (status 400)" in service.log


def test_a_server_that_takes_a_part(server, command):
    """It says how many it took; which it did not, nobody knows."""

    def take_less(method, path, body):
        return ingested(path, (200, {"status": "ok", "ingested": len(json.loads(body)["events"]) - 1}))

    server.say = take_less
    with server, Service(server.url()) as service:
        service.record(ID, 10)
        counters = service.flush()
        assert counters["lost"] >= 1
        assert counters["stored"] + counters["lost"] == 20


def test_several_processes_and_their_children(server, command):
    """Forked while the parent's connection is open: each has its own."""
    with server:
        services = [Service(server.url(options)) for options in ("", "ingest_tls=true")]
        for service in services:
            service.record(ID, 20)
            assert service.flush()["stored"] == 40
            service.record_in_child(ID, 30)
            service.record(ID, 10)
            assert service.flush()["stored"] == 60
        for service in services:
            service.__exit__(None)
        assert count(command, server) == 2 * 2 * (20 + 30 + 10)
