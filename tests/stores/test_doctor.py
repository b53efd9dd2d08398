# SPDX-License-Identifier: Apache-2.0
"""`osprofiler doctor` beside real servers: one that takes the test trace or refuses it, and the bus of a service."""

import json

import pytest

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
        for user, allowed in (("writer", "+@all"), ("reader", "+@read")):
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
