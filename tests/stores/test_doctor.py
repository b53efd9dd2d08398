# SPDX-License-Identifier: Apache-2.0
"""`osprofiler doctor` beside real servers: one that takes the test trace or refuses it, and the bus of a service."""

import json

import pytest
from cutting import Cutting
from test_otlp_faults import Collector

from servers.loginsight import LogInsight
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis
from servers.redis_questions import ask

PASSWORD = "s3cret"


def levels(store):
    """Return what was found of a store, by how much it matters."""
    found = {}
    for finding in store["findings"]:
        found.setdefault(finding["level"], []).append(finding["text"])
    return found


def told(command, *arguments, code=0):
    """Run the command; return what it found, and all that it said."""
    done = command("doctor", "--json", *arguments)
    assert done.returncode == code, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    with Redis(tmp_path_factory.mktemp("redis"), "--requirepass", PASSWORD) as server:
        for user, allowed in (("writer", "+@all"), ("reader", "+@read"), ("keeper", "+@all -unlink")):
            acl = ("ACL", "SETUSER", user, "on", f">{PASSWORD}", "~osprofiler*", "+@connection", *allowed.split())
            ask(server.port, *acl, login=(PASSWORD,))
        yield server


def test_a_store_that_takes_the_test_trace(command, redis):
    store = f"redis://writer:{PASSWORD}@127.0.0.1:{redis.port}/0"
    [found] = told(command, "--connection-string", store)["stores"]
    assert found["store"] == f"redis://writer:***@127.0.0.1:{redis.port}/0"
    assert found["write_ms"] > 0
    assert found["read_ms"] > 0
    assert "error" not in levels(found)
    assert found["test_trace_left"] is None
    assert listed(command, store) == []


def listed(command, store):
    """Return the ids of all traces of a store."""
    done = command("trace", "list", "--json", "--connection-string", store)
    return [trace["base_id"] for trace in json.loads(done.stdout)]


def test_a_store_that_cannot_remove_the_test_trace(command, redis):
    store = f"redis://keeper:{PASSWORD}@127.0.0.1:{redis.port}/0"
    [found] = told(command, "--connection-string", store, code=1)["stores"]
    left = found["test_trace_left"]
    assert left in listed(command, store)
    assert f"the test trace stays there, `{left}`: it could not be removed" in levels(found)["note"]
    assert "the user may not do that" in " ".join(levels(found)["error"])
    # Whoever may does what the command could not.
    ask(redis.port, "FLUSHDB", login=(PASSWORD,))


@pytest.mark.parametrize("user", ["writer", "keeper"])
def test_a_store_that_does_not_answer_may_have_the_test_trace(command, redis, user):
    with Cutting(redis.port) as front:
        front.cut_after(b"LPUSH", float("inf"))
        store = f"redis://{user}:{PASSWORD}@127.0.0.1:{front.port}/0"
        [found] = told(command, "--connection-string", store, code=1)["stores"]
        assert found["write_ms"] is None
        left = found["test_trace_left"]
        assert listed(command, store) == ([left] if user == "keeper" else [])
    if user == "keeper":
        assert f"the store did not say whether it has the test trace now: `{left}`" in levels(found)["note"]
        ask(redis.port, "FLUSHDB", login=(PASSWORD,))
    else:
        assert "it removed the test trace again" in levels(found)["ok"]


PARTIAL = b"\x0a\x0e\x08\x01\x12\x0atoo large!"


def test_a_collector_that_takes_the_request_and_refuses_the_span(command):
    with Collector((200, {}, PARTIAL)) as collector:
        [found] = told(command, "--connection-string", f"otlp://{collector.address}", code=1)["stores"]
    assert levels(found)["error"] == ["it refused 2 of the 2 notifications of the test trace"]
    assert "refuses 1 of 1 spans: too large!" in " ".join(levels(found)["warning"])
    assert (found["write_ms"], found["test_trace_left"]) == (None, None)


def test_a_server_that_takes_less_than_it_was_sent(command, tmp_path):
    with LogInsight(tmp_path) as server:
        server.say = lambda method, path, body: (200, {"ingested": 1}) if "/ingest/" in path else None
        [found] = told(command, "--connection-string", server.url(), code=1)["stores"]
    assert levels(found)["error"] == ["it refused 1 of the 2 notifications of the test trace"]
    assert found["test_trace_left"] in " ".join(levels(found)["note"])


@pytest.mark.parametrize(
    ("user", "password", "expected"),
    [("reader", PASSWORD, "the user may not do that"), ("writer", "wrong", "knows no such user and password")],
)
def test_a_store_that_refuses_says_whom(command, redis, user, password, expected):
    store = f"redis://{user}:{password}@127.0.0.1:{redis.port}/0"
    [found] = told(command, "--connection-string", store, code=1)["stores"]
    assert expected in " ".join(levels(found)["error"]), found
    assert found["write_ms"] is None


def test_the_bus_of_a_services_configuration(command, tmp_path):
    path = tmp_path / "service.conf"
    with RabbitMQ(tmp_path / "rabbitmq") as bus:
        path.write_text(
            f"[DEFAULT]\ntransport_url = {bus.url}\n[profiler]\nenabled = True\nhmac_keys = s3cret-s3cret\n"
        )
        found = told(command, "--config-file", str(path))
        [store] = found["stores"]
        assert str(bus.port) in store["store"]
        assert "rabbitmq-secret" not in json.dumps(found)
        assert store["read_ms"] > 0
        assert "error" not in levels(store)
    gone = told(command, "--config-file", str(path), code=1)
    assert "error" in levels(gone["stores"][0])
