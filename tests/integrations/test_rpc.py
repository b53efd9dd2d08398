# SPDX-License-Identifier: Apache-2.0
"""RPC of oslo.messaging in the trace: services of both kinds understand each other, and nothing is recorded twice.

Within one process over the driver `fake`, and between two over a real RabbitMQ.
"""

import contextlib
import os
import subprocess
import sys
import types
from pathlib import Path

import oslo_messaging
import pytest
import rpc_services
from conftest import drawn, points, run_python, start_info, stop_info
from osprofiler import messaging, profiler

from servers.rabbitmq import RabbitMQ

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def enabled():
    """Trace RPC, as if two parts of a service had asked for it."""
    messaging.enable()
    messaging.enable()
    yield
    messaging.disable()


@pytest.fixture
def transport():
    """Return a transport within this process."""
    transport = rpc_services.transport("fake://")
    yield transport
    transport.cleanup()


@contextlib.contextmanager
def serving(transport, kind="plain", names=("one",)):
    """Run servers for as long as the block lasts, and return their managers; then everything cast has been done."""
    managers = [rpc_services.MANAGERS[kind]() for _ in names]
    servers = [
        rpc_services.server(transport, name, manager, kind) for name, manager in zip(names, managers, strict=True)
    ]
    for server in servers:
        server.start()
    try:
        yield managers
    finally:
        for server in servers:
            server.stop()
            server.wait()


# Who calls, who answers, and the trace.
PLAIN, CARRYING = "plain", "carrying"
TREES = {
    (PLAIN, PLAIN): "request\n  rpc\n    rpc\n      work",
    (PLAIN, CARRYING): "request\n  rpc\n    rpc\n      work",
    (CARRYING, PLAIN): "request\n  rpc\n    work",
    (CARRYING, CARRYING): "request\n  rpc\n    work",
}


@pytest.mark.parametrize(("caller", "called"), TREES)
def test_a_call_is_recorded_once_at_each_end(recording, base_id, transport, caller, called):
    profiler.init("key", base_id)
    with serving(transport, called) as (manager,), profiler.Trace("request"):
        assert rpc_services.client(transport, caller).call(rpc_services.Context("u"), "create", size=3) == 6
    assert manager.seen.get() == ("u", 3)
    assert recording.tree(base_id) == TREES[caller, called]


def test_what_a_call_tells(recording, base_id, transport):
    profiler.init("key", base_id)
    with serving(transport, names=("one", "two")) as managers:
        for manager in managers:
            manager.seen = managers[0].seen
        client = rpc_services.client(transport, PLAIN)
        client.prepare(server="one").call(rpc_services.Context("u"), "create", size=1)
        client.cast(rpc_services.Context("u"), "create", size=1)
        client.prepare(fanout=True).cast(rpc_services.Context("u"), "create", size=1)
        for _ in range(4):
            managers[0].seen.get(timeout=60)
    report = recording.report(base_id)
    outgoing = [start_info(info) for info in points(report, "rpc") if "rpc" in start_info(info)]
    assert [info["rpc"] for info in outgoing] == [
        {"kind": "call", "topic": "volumes", "server": "one"},
        {"kind": "cast", "topic": "volumes", "server": None},
        {"kind": "fanout", "topic": "volumes", "server": None},
    ]
    assert {info["function"]["name"] for info in outgoing} == {"create"}
    # A fanout reaches both.
    called = [start_info(info) for info in points(report, "rpc") if "rpc" not in start_info(info)]
    assert [info["function"]["name"] for info in called] == ["PlainManager.create"] * 4
    assert len(points(report, "work")) == 4
    assert "size" not in str([*outgoing, *called])


@pytest.mark.parametrize(
    ("method", "etype", "message"),
    [
        ("broken", "ValueError", "broken"),
        ("expected", "KeyError", "'missing'"),
        ("absent", "oslo_messaging.rpc.dispatcher.NoSuchMethod", "Endpoint does not support RPC method absent"),
    ],
)
def test_what_a_method_raises_is_told(recording, base_id, transport, method, etype, message):
    profiler.init("key", base_id)
    with serving(transport), pytest.raises(Exception, match=r"\S") as caught:
        rpc_services.client(transport, PLAIN).call(rpc_services.Context("u"), method)
    assert type(caught.value).__name__ == etype.rpartition(".")[2]
    _outgoing, called = points(recording.report(base_id), "rpc")
    assert (stop_info(called)["etype"], stop_info(called)["message"]) == (etype, message)


def test_a_call_that_nobody_answers_ends_its_point(recording, base_id, transport):
    profiler.init("key", base_id)
    with profiler.Trace("request"):
        with pytest.raises(oslo_messaging.MessagingTimeout):
            rpc_services.client(transport, PLAIN, timeout=0.01).call(rpc_services.Context("u"), "create", size=1)
        with profiler.Trace("sibling"):
            pass
    assert recording.tree(base_id) == drawn("""
        request
          rpc (oslo_messaging.exceptions.MessagingTimeout)
          sibling
    """)


@pytest.mark.parametrize(("kind", "enable"), [(PLAIN, True), (CARRYING, True), (CARRYING, False)])
def test_an_untraced_call_on_a_worker_of_a_finished_trace_is_in_no_trace(recording, base_id, transport, kind, enable):
    """In Nova, thousands of points of requests that nobody traced went into finished traces."""
    if not enable:
        messaging.disable()
    client = rpc_services.client(transport, kind)
    with serving(transport, kind) as (manager,):
        for number in range(20):
            profiler.init("key", f"{base_id}-{number}")
            client.call(rpc_services.Context("u"), "create", size=number)
            profiler.clean()
            client.call(rpc_services.Context("u"), "create", size=number)
    assert manager.seen.qsize() == 40
    for number in range(20):
        assert len(points(recording.report(f"{base_id}-{number}"), "work")) == 1


@pytest.mark.parametrize(("kind", "enable"), [(PLAIN, True), (CARRYING, True), (CARRYING, False)])
@pytest.mark.parametrize("around", [None, "around"])
def test_a_worker_is_where_it_was_after_a_call(collected, kind, enable, around):
    if not enable:
        messaging.disable()
    manager = rpc_services.MANAGERS[kind]()
    dispatcher = oslo_messaging.RPCDispatcher([manager], rpc_services.SERIALIZERS[kind]())
    incoming = types.SimpleNamespace(
        ctxt={"user": "u", "trace_info": {"hmac_key": "key", "base_id": "B", "parent_id": "P"}},
        message={"method": "create", "args": {"size": 3}, "version": "1.0"},
        client_timeout=None,
    )
    if around:
        profiler.init("key", "other")
        profiler.start(around)
    before = profiler.get() and (profiler.get().get_base_id(), profiler.get().get_id())
    assert dispatcher.dispatch(incoming) == 6
    assert (profiler.get() and (profiler.get().get_base_id(), profiler.get().get_id())) == before


def test_rpc_is_no_point_after_disable(collected, transport):
    messaging.disable()
    profiler.init("key", "B")
    with serving(transport) as (manager,):
        assert rpc_services.client(transport, PLAIN).call(rpc_services.Context("u"), "create", size=3) == 6
    assert not manager.seen.empty()
    assert collected == []


PLACES = {
    "nothing": None,
    "list": ["B"],
    "text": "B",
    "no base id": {"parent_id": "P"},
    "base id of another type": {"base_id": 7},
    "empty base id": {"base_id": ""},
    "parent id of another type": {"base_id": "B", "parent_id": ["P"]},
    "further member": {"base_id": "B", "x": 1},
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_no_place_on_the_wire_fails_a_call(collected, transport, place):
    class Hostile(rpc_services.PlainSerializer):
        def serialize_context(self, ctxt):
            return {**super().serialize_context(ctxt), "trace_info": place}

    target = oslo_messaging.Target(topic=rpc_services.TOPIC, version="1.0")
    client = oslo_messaging.get_rpc_client(transport, target, serializer=Hostile())
    with serving(transport) as (manager,):
        assert client.call(rpc_services.Context("u"), "create", size=3) == 6
    assert manager.seen.get() == ("u", 3)
    assert collected == []


@pytest.mark.parametrize(
    ("key", "base_id"), [(object(), "B"), (b"key", "B"), ("key", 7)], ids=["object", "bytes", "id"]
)
def test_a_place_that_no_message_may_carry_stays_here(collected, transport, key, base_id):
    profiler.init(key, base_id)
    with serving(transport) as (manager,):
        assert rpc_services.client(transport, PLAIN).call(rpc_services.Context("u"), "create", size=3) == 6
    assert manager.seen.get() == ("u", 3)
    assert {n["name"] for n in collected} <= {"rpc-start", "rpc-stop"}


def test_the_callers_context_stays_as_it_is(collected, transport):
    """Without a serializer the context on the wire is the caller's own."""
    profiler.init("key", "B")
    own = {"user": "u"}
    target = oslo_messaging.Target(topic=rpc_services.TOPIC, version="1.0")
    with serving(transport):
        oslo_messaging.get_rpc_client(transport, target).call(own, "create", size=3)
    assert own == {"user": "u"}
    starts = ["rpc-start", "rpc-start", "work-start"]
    assert [n["name"] for n in collected] == [*starts, "work-stop", "rpc-stop", "rpc-stop"]


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory):
    """Return a broker."""
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


SERVICE = """
import sys
from oslo_config import cfg
from osprofiler import initializer, messaging, opts, profiler
import rpc_services

url, store, base_id, kind, topic, end = sys.argv[1:]
rpc_services.TOPIC = topic
opts.set_defaults(cfg.CONF, enabled=True, connection_string=store, hmac_keys="key")
initializer.init_from_conf(cfg.CONF, project="tests", service="integrations", host="host")
if kind == "plain":
    messaging.enable()
transport = rpc_services.transport(url)
if end == "server":
    server = rpc_services.server(transport, "host", rpc_services.MANAGERS[kind](), kind)
    server.start()
    print("ready", flush=True)
    sys.stdin.read()
    server.stop()
    server.wait()
else:
    client = rpc_services.client(transport, kind)
    profiler.init("key", base_id)
    with profiler.Trace("request"):
        assert client.call(rpc_services.Context("u"), "create", size=3) == 6
    profiler.clean()
    assert client.call(rpc_services.Context("u"), "create", size=4) == 8
transport.cleanup()
"""


def service(broker, store, base_id, kind, topic, end):
    return subprocess.Popen(
        [sys.executable, "-c", SERVICE, broker.url, store.connection_string, base_id, kind, topic, end],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("caller", "called"), TREES)
def test_services_of_both_kinds_understand_each_other(rabbitmq, store, base_id, caller, called):
    topic = f"{caller}-{called}"
    server = service(rabbitmq, store, base_id, called, topic, "server")
    try:
        assert server.stdout.readline() == "ready\n"
        client = service(rabbitmq, store, base_id, caller, topic, "client")
        _, errors = client.communicate(timeout=120)
        assert client.returncode == 0, errors
    finally:
        _, errors = server.communicate(timeout=120)
    assert server.returncode == 0, errors
    assert store.tree(base_id) == TREES[caller, called]


def test_a_missing_library_is_told_with_what_to_install():
    done = run_python(
        """
        import logging, sys
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
        sys.modules["oslo_messaging"] = None
        from osprofiler import messaging
        messaging.enable(), messaging.enable(), messaging.disable()
        """
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("WARNING calls over RPC are not traced: ")
    assert line.endswith("`pip install osprofiler[messaging]`")
