# SPDX-License-Identifier: Apache-2.0
"""The message bus: traces of this package and of upstream in one queue, Ceilometer's agent, and a broker's faults."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest
from cutting import Cutting
from either import recorded
from osprofiler import _native
from osprofiler.drivers import base
from recording import Service
from stores.bus import Bus

from house.process import capture
from house.waiting import wait_until
from servers.ceilometer import Ceilometer
from servers.rabbitmq import PASSWORD, USER, RabbitMQ

SECONDS = 120

# What a traced service does: one trace, whose id it prints, to the bus of its configuration.
SERVICE = """
import json, sys
from oslo_config import cfg
from osprofiler import notifier, profiler

conf = cfg.ConfigOpts()
conf(["--config-file", sys.argv[1]])
options = dict(part.split("=", 1) for part in sys.argv[2:])
notifier.set(notifier.create("messaging://", conf=conf, project="glance", service="api", host="ctl", **options))
profiler.init("SECRET")
base_id = profiler.get().get_base_id()
with profiler.Trace("wsgi", info={"request": {"path": "/v2/\\u00e9", "method": "GET"}}):
    with profiler.Trace("db", info={"db": {"statement": "SELECT 1", "params": [1, None, "a"]}}):
        pass
    try:
        with profiler.Trace("rpc"):
            raise ValueError("no such image")
    except ValueError:
        pass
print(base_id)
"""
OURS_ENDS = """
from osprofiler import _native
counters = _native.flush(60)
assert counters["stored"] == counters["recorded"] > 0, counters
assert "oslo_messaging" not in sys.modules
"""
REPORT = """
import json, sys
from oslo_config import cfg
from osprofiler.drivers import base

conf = cfg.ConfigOpts()
conf([])
print(json.dumps(base.get_driver("messaging://", conf=conf, transport_url=sys.argv[1]).get_report(sys.argv[2])))
"""


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory):
    """Run a broker."""
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture
def bus(rabbitmq):
    """Return the broker's bus, without traces."""
    with Bus(rabbitmq.url) as bus:
        yield bus


@pytest.fixture
def configuration(rabbitmq, tmp_path):
    """Return a function that writes a service's configuration, with further lines, and returns its path."""

    def write(*lines: str) -> str:
        path = tmp_path / "service.conf"
        path.write_text("\n".join(["[DEFAULT]", f"transport_url = {rabbitmq.url}", *lines, ""]))
        return str(path)

    return write


@pytest.fixture
def trace(configuration, tmp_path):
    """Return a function that runs a traced service with our wheel, and returns its trace's id."""

    def run(path: str | None = None, *options: str) -> str:
        text = SERVICE + OURS_ENDS
        service = [sys.executable, "-c", text, path or configuration(), *options]
        return capture(service, tmp_path / "service.log").data.strip()

    return run


def driver(url: str, **options):
    """Return the driver of a bus, which does not wait for more."""
    return base.get_driver("messaging://", transport_url=url, **{"idle_timeout": 0, **options})


def test_the_service_and_its_command_read_what_upstream_reads(bus, trace, upstream, command):
    base_id = trace()
    ours = driver(bus.url).get_report(base_id)
    assert [node["info"]["name"] for node in ours["children"]] == ["wsgi"]
    shown = command(
        "trace", "show", base_id, "--json", "--connection-string=messaging://", f"--transport-url={bus.url}"
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert json.loads(shown.stdout) == ours
    assert json.loads(upstream(REPORT, bus.url, base_id)) == ours
    # Upstream's reader takes away what it reads.
    assert bus.depth() == 0


def test_what_upstream_wrote_is_read(bus, configuration, upstream):
    base_id = upstream(SERVICE, configuration()).strip()
    ours = driver(bus.url).get_report(base_id)
    assert {name: total["count"] for name, total in ours["stats"].items()} == {"wsgi": 1, "db": 1, "rpc": 1}
    assert driver(bus.url).list_error_traces()[0]["base_id"] == base_id
    assert json.loads(upstream(REPORT, bus.url, base_id)) == ours


def test_a_message_is_what_upstream_sends(bus, trace, configuration, upstream):
    """But for ids and times."""
    trace()
    ours = bus.messages()
    bus.clear()
    upstream(SERVICE, configuration())
    theirs = bus.messages()
    assert len(ours) == len(theirs) == 6

    def seen(message):
        body = json.loads(message.body)
        for holder, names in (
            (body, ("message_id", "timestamp", "_unique_id")),
            (body["payload"], ("base_id", "trace_id", "parent_id", "timestamp")),
        ):
            for name in names:
                holder[name] = len(holder[name])
        body["payload"]["info"].pop("host")
        # Ours has the place among others beside what upstream's has.
        properties = {name: value for name, value in message.properties.items() if name != "message_id"}
        return list(body), list(body["payload"]), body, properties, message.delivery_info["exchange"]

    assert list(map(seen, ours)) == list(map(seen, theirs))


def test_values_that_json_has_none_of_come_as_upstreams_do_or_as_text(bus, upstream):
    text = """
import datetime, decimal, sys
from oslo_config import cfg
from osprofiler.drivers import base
conf = cfg.ConfigOpts()
conf([])
info = {"host": "h", "bytes": b"\\xff", "date": datetime.date(2026, 1, 1)}
info |= {"decimal": decimal.Decimal("1.5"), "none": None}
ids = {"base_id": "B", "trace_id": "1", "parent_id": "B"}
for end, second in (("start", 1), ("stop", 2)):
    base.get_driver("messaging://", conf=conf, transport_url=sys.argv[1], project="p", service="s").notify(
        {"name": f"x-{end}", **ids, "timestamp": f"2026-01-01T00:00:0{second}.000000", "info": dict(info)}
    )
"""
    upstream(text, bus.url)
    (node,) = driver(bus.url).get_report("B")["children"]
    info = node["info"]["meta.raw_payload.x-start"]["info"]
    assert info["bytes"] == {"__type__": "base64", "__value__": "/w=="}
    assert info["date"] == {"__type__": "date", "__value__": "2026-01-01"}
    assert node["info"]["finished"] == 1000


def test_reading_takes_nothing_away(bus, trace):
    """Nor does listing; and it works outside of the main thread, and at the same time as others."""
    first, second = trace(), trace()
    expected = {base_id: driver(bus.url).get_report(base_id) for base_id in (first, second)}
    assert all(report["stats"]["wsgi"]["count"] == 1 for report in expected.values())
    found = []

    def read(base_id):
        found.append(driver(bus.url).get_report(base_id) == expected[base_id])

    readers = [threading.Thread(target=read, args=(base_id,)) for base_id in (first, second) * 3]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(SECONDS)
    assert found == [True] * 6
    assert [found["base_id"] for found in driver(bus.url).list_traces()] == [first, second]
    assert bus.depth() == 12
    assert driver(bus.url).get_report(str(uuid.uuid4()))["children"] == []


def test_a_trace_that_goes_on_is_waited_for(bus, trace):
    """What comes while a reader waits is part of its report."""
    base_id = trace()
    body = json.loads(bus.messages()[0].body)
    body["payload"]["trace_id"] = body["message_id"] = str(uuid.uuid4())
    body["payload"]["name"] = "late-start"
    reports = []
    reader = threading.Thread(target=lambda: reports.append(driver(bus.url, idle_timeout=10).get_report(base_id)))
    reader.start()
    wait_until(lambda: bus.depth() == 0, "the reader to have the queue in hand", SECONDS)
    bus.publish(json.dumps(body))
    reader.join(SECONDS)
    assert reports[0]["stats"]["late"]["count"] == 1


def test_a_queue_that_counts_readings_is_told_of_in_time(bus, configuration, trace, command, caplog):
    """Before a broker with a limit drops what was read too often; also where a program reads, whatever it finds."""
    trace(configuration("[oslo_messaging_rabbit]", "rabbit_quorum_queue = true"))
    words = ["trace", "list", "--connection-string", f"messaging://?transport_url={bus.url}"]
    said = [command(*words).stderr for _ in range(11)]
    assert said[:10] == [""] * 10
    assert "messages of the queue `profiler.info` were read 10 times before" in said[10]
    for base_id in ("not-there", driver(bus.url).list_traces()[0]["base_id"]):
        _native.log_messages()
        caplog.clear()
        driver(bus.url).get_report(base_id)
        _native.log_messages()
        assert "messages of the queue `profiler.info` were read" in caplog.text


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ([], (False, False)),
        (["[oslo_messaging_rabbit]", "amqp_durable_queues = true"], (True, False)),
        (["[oslo_messaging_rabbit]", "rabbit_quorum_queue = true"], (True, True)),
    ],
)
def test_queues_are_made_as_the_service_makes_its_own(bus, configuration, trace, upstream, lines, kind):
    """And what another service has made in its own way is taken as it is."""
    path = configuration(*lines)
    first = trace(path)
    assert bus.kind() == kind
    # Neither is refused for the other's declaration.
    second = upstream(SERVICE, path).strip()
    other_way = configuration("[oslo_messaging_rabbit]", f"amqp_durable_queues = {not kind[0]}")
    third = trace(other_way)
    assert [found["base_id"] for found in driver(bus.url).list_traces()] == [first, second, third]


def test_a_queue_that_is_gone_is_made_anew(bus, configuration, tmp_path):
    text = (
        SERVICE
        + """
from osprofiler import _native
assert _native.flush(60)["stored"] == 6
print("removing", flush=True)
sys.stdin.readline()
with profiler.Trace("after"):
    pass
counters = _native.flush(60)
assert counters["stored"] == counters["recorded"] == 8, counters
"""
    )
    with subprocess.Popen(
        [sys.executable, "-c", text, configuration()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as service:
        base_id = service.stdout.readline().strip()
        assert service.stdout.readline() == "removing\n"
        bus.clear()
        service.communicate("\n", timeout=SECONDS)
    assert service.returncode == 0
    assert driver(bus.url).get_report(base_id)["stats"]["after"]["count"] == 1


def test_a_trace_expires(bus, rabbitmq):
    written = base.get_driver("messaging://?ttl=10s", transport_url=bus.url, project="p", service="s")
    written.notify({"name": "x-start", "base_id": "B", "trace_id": "1", "info": {}})
    assert _native.flush(60)["waiting"] == 0
    assert bus.messages()[0].properties["expiration"] == "10000"
    wait_until(lambda: bus.depth() == 0, "the broker to remove the trace", SECONDS)


# What a service tells of an instance, as oslo.messaging sends it.
ORDINARY = {
    "message_id": "7678bf27-3963-5262-9d4f-6eee7a90bea0",
    "publisher_id": "compute.controller",
    "event_type": "compute.instance.exists",
    "priority": "INFO",
    "payload": {"instance_id": "i"},
    "timestamp": "2026-11-26 01:31:35.609489",
    "_unique_id": "7678bf27396352629d4f6eee7a90bea0",
}


def test_ceilometer_stores_the_events(bus, trace, tmp_path):
    """And goes on with its own work, what services tell without tracing."""
    base_id = trace()
    report = driver(bus.url).get_report(base_id)
    with Ceilometer(tmp_path, Path(os.environ["OSPROFILER_CEILOMETER_PYTHON"]), bus.url) as ceilometer:
        events = wait_until(lambda: (found := ceilometer.events()) and len(found) >= 6 and found, "6 events", SECONDS)
        # It has declared all of its queues by now.
        envelope = {"oslo.version": "2.0", "oslo.message": json.dumps(ORDINARY)}
        json_text = {"content_type": "application/json", "content_encoding": "utf-8"}
        bus.publish(json.dumps(envelope), "notifications.info", **json_text)
        *_, ordinary = wait_until(
            lambda: (found := ceilometer.events()) and len(found) >= 7 and found, "the ordinary event", SECONDS
        )
    assert ordinary["event_type"] == ORDINARY["event_type"]
    assert {event["event_type"] for event in events} == {"profiler.api"}
    traits = [{trait["name"]: trait["value"] for trait in event["traits"]} for event in events]
    assert {each["base_id"] for each in traits} == {base_id}
    assert sorted(each["name"] for each in traits) == sorted(
        f"{name}-{end}" for name in ("wsgi", "db", "rpc") for end in ("start", "stop")
    )
    # An event is of the time at which the point began or ended, and holds all of its notification.
    for event, each in zip(events, traits, strict=True):
        assert event["generated"] == each["timestamp"]
    (top,) = report["children"]
    (start,) = [
        event["raw"]["payload"] for event, each in zip(events, traits, strict=True) if each["name"] == "wsgi-start"
    ]
    assert start == top["info"]["meta.raw_payload.wsgi-start"]
    assert len({event["message_id"] for event in events}) == 6


def test_junk_is_skipped_counted_and_left(bus, trace, command):
    base_id = trace()
    for body in (
        b"\xff\x00",
        "{}",
        '{"payload": {"name": "x"}}',
        "[" * 5000,
        "x" * (10 << 20),
        json.dumps({"payload": None}),
    ):
        bus.publish(body)
    shown = command("trace", "show", base_id, "--json", f"--connection-string=messaging://?transport_url={bus.url}")
    assert shown.returncode == 0
    assert "6 stored elements" in shown.stderr
    assert json.loads(shown.stdout) == driver(bus.url).get_report(base_id)
    assert bus.depth() == 12


def store(rabbitmq, who=f"{USER}:{PASSWORD}", port=None, options=""):
    """Return a connection string."""
    return f"messaging://{who}@127.0.0.1:{port or rabbitmq.port}/?idle_timeout=0{options}"


def test_each_fault_has_one_message(bus, rabbitmq, command, trace):
    trace()
    unused = socket.create_server(("127.0.0.1", 0))
    nobody = unused.getsockname()[1]
    unused.close()
    tls, authority = rabbitmq.tls_port, rabbitmq.certificates.authority
    for connection_string, message in [
        (store(rabbitmq, f"{USER}:wrong-secret"), "ACCESS_REFUSED"),
        (store(rabbitmq).replace("/?", "/nowhere?"), "vhost nowhere not found"),
        (store(rabbitmq, port=nobody), "nobody listens there"),
        (store(rabbitmq, port=rabbitmq.names_port), "closed the connection"),
        (store(rabbitmq, port=tls), "add `ssl=1`"),
        (store(rabbitmq, options="&ssl=1"), "what answers there speaks no TLS"),
        (store(rabbitmq, port=tls, options="&ssl=1"), "its certificate is not trusted"),
        (
            store(rabbitmq, port=tls, options="&ssl=1&tls_ca_file=/nowhere/ca.pem"),
            "cannot read certificates from `/nowhere/ca.pem`",
        ),
        (store(rabbitmq, options="&topic=nothing"), "no queue `nothing.info` in the virtual host `/`"),
        ("messaging://", "`messaging://` alone names no broker"),
        ("messaging://?transport_url=kafka://u:wrong-secret@h", "no transport `kafka`"),
        ("messaging://h:port", "a broker's port is no number"),
        ("messaging://h?idle_timeout=soon", "`idle_timeout` cannot be `soon`"),
    ]:
        listed = command("trace", "list", "--connection-string", connection_string)
        assert listed.returncode in (1, 2), connection_string
        assert (listed.stdout, listed.stderr.count("error: ")) == ("", 1), listed
        assert message in listed.stderr
        assert PASSWORD not in listed.stderr
        assert "wrong-secret" not in listed.stderr
    for trusted in (f"&ssl=1&tls_ca_file={authority}", "&ssl=1&tls_verify=false"):
        listed = command("trace", "list", "--connection-string", store(rabbitmq, port=tls, options=trusted))
        assert (listed.returncode, listed.stderr) == (0, "")


def test_a_service_uses_tls_as_its_configuration_says(bus, rabbitmq, configuration, trace):
    path = configuration("[oslo_messaging_rabbit]", "ssl = true", f"ssl_ca_file = {rabbitmq.certificates.authority}")
    url = rabbitmq.url.replace(str(rabbitmq.port), str(rabbitmq.tls_port))
    base_id = trace(path, f"transport_url={url}")
    assert driver(bus.url).get_report(base_id)["stats"]["wsgi"]["count"] == 1


@pytest.mark.parametrize("lines", [[], ["[oslo_messaging_notifications]", "transport_url = {url}"]])
def test_the_bus_is_the_configurations(bus, configuration, trace, lines):
    """That of notifications goes before the other."""
    path = configuration(*(line.format(url=bus.url) for line in lines))
    if lines:
        text = (
            Path(path)
            .read_text()
            .replace(f"transport_url = {bus.url}\n", "transport_url = rabbit://nobody@127.0.0.1:1/\n", 1)
        )
        Path(path).write_text(text)
    base_id = trace(path)
    assert driver(bus.url).get_report(base_id)["stats"]["wsgi"]["count"] == 1


def test_the_exchange_is_the_services_own(bus, configuration, trace):
    """As a service sets it up with the library; its queue is the one of all."""
    base_id = trace(configuration("control_exchange = glance"))
    assert {message.delivery_info["exchange"] for message in bus.messages()} == {"glance"}
    assert driver(bus.url).get_report(base_id)["stats"]["wsgi"]["count"] == 1


def test_an_older_services_transport_is_taken(bus):
    """As trove and senlin give it, by position."""
    text = """
import sys
import oslo_messaging
from oslo_config import cfg
from osprofiler import _native, notifier, profiler
conf = cfg.ConfigOpts()
conf([])
transport = oslo_messaging.get_notification_transport(conf, url=sys.argv[1])
notifier.set(notifier.create("Messaging", oslo_messaging, {}, transport, "trove", "trove-api", "ctl"))
profiler.init("SECRET", base_id="B")
with profiler.Trace("x"):
    pass
assert _native.flush(60)["stored"] == 2
"""
    capture([sys.executable, "-c", text, bus.url], Path(os.devnull))
    (node,) = driver(bus.url).get_report("B")["children"]
    assert (node["info"]["project"], node["info"]["service"]) == ("trove", "trove-api")


def test_another_transport_goes_through_the_library(tmp_path):
    """On the traced thread, as upstream; what it cannot send becomes text."""
    text = """
import datetime, sys
from osprofiler import _native, notifier, profiler
from osprofiler.drivers import base
options = {"transport_url": "fake://", "project": "glance", "service": "api", "host": "ctl"}
notifier.set(notifier.create("messaging://", **options))
profiler.init("SECRET", base_id="B")
with profiler.Trace("wsgi", info={"odd": object(), "bytes": b"\\xff", "date": datetime.date(2026, 1, 1)}):
    pass
assert _native.counters()["recorded"] == 0
reader = base.get_driver("messaging://", idle_timeout=1, **options)
report = reader.get_report("B")
(node,) = report["children"]
assert node["info"]["exception"] == "None", report
assert node["info"]["meta.raw_payload.wsgi-start"]["info"]["date"] == "2026-01-01", report
try:
    reader.list_traces()
except NotImplementedError:
    pass
try:
    base.get_driver("messaging://", transport_url="kafka://u:s3cret@127.0.0.1:9092/")
except ValueError as error:
    assert "the transport `kafka` cannot be used" in str(error) and "s3cret" not in str(error), error
else:
    raise AssertionError("Kafka's client is not installed here")
"""
    capture([sys.executable, "-c", text], tmp_path / "fake.log")


@pytest.fixture
def broker(tmp_path):
    """Run a broker that a test may stop; its queues are durable, so that they are still there after that."""
    with RabbitMQ(tmp_path / "rabbitmq") as server:
        yield server


@pytest.fixture
def service(broker):
    """Run a service whose broker that is."""
    url = broker.url.replace("rabbit://", "messaging://")
    with Service(f"{url}?rabbit_quorum_queue=true&socket_timeout=5") as running:
        yield running


def test_a_broker_that_is_down_at_the_start_gets_all_later(broker, service):
    broker.stop()
    service.record("B", 500)
    counters = service.flush(0)
    assert (counters["recorded"], counters["stored"], counters["waiting"]) == (1000, 0, 1000)
    broker.start_again()
    counters = service.flush(60)
    assert (counters["stored"], counters["lost"]) == (1000, 0)
    assert driver(broker.url).get_report("B")["stats"]["x"]["count"] == 500


def test_a_broker_that_restarts_in_the_middle_loses_nothing(broker, service):
    service.record("B", 300)
    assert service.flush(60)["stored"] == 600
    broker.stop()
    service.record("B", 300)
    assert service.flush(0)["stored"] == 600
    broker.start_again()
    service.record("B", 300)
    counters = service.flush(60)
    assert (counters["recorded"], counters["stored"], counters["lost"]) == (1800, 1800, 0)
    assert driver(broker.url).get_report("B")["stats"]["x"]["count"] == 900


def test_a_broker_that_hangs_holds_nobody_up(broker, service):
    service.record("B", 100)
    assert service.flush(60)["stored"] == 200
    os.killpg(broker.server.child.pid, signal.SIGSTOP)
    try:
        service.record("B", 200)
        assert service.flush(3)["waiting"] == 400
    finally:
        os.killpg(broker.server.child.pid, signal.SIGCONT)
    counters = service.flush(60)
    assert (counters["recorded"], counters["stored"], counters["lost"]) == (600, 600, 0)
    # What the broker had taken before it hung, and got again after that, is there once.
    assert driver(broker.url).get_report("B")["stats"]["x"]["count"] == 300


@pytest.mark.parametrize("order", [1, -1])
def test_a_broker_that_takes_connections_and_no_messages_is_left_for_the_next(bus, rabbitmq, order):
    """Whichever of the two is the first."""
    with Cutting(rabbitmq.port) as deaf, Cutting(rabbitmq.port) as well:
        deaf.cut_after(b'"event_type"', times=float("inf"))
        hosts = ",".join(f"127.0.0.1:{proxy.port}" for proxy in (deaf, well)[::order])
        with Service(f"messaging://{USER}:{PASSWORD}@{hosts}/?socket_timeout=5") as service:
            service.record("B", 10)
            counters = service.flush()
            assert (counters["stored"], counters["lost"]) == (20, 0), service.end()
    assert driver(bus.url).get_report("B")["stats"]["x"]["count"] == 10


def test_a_copy_to_the_bus_looks_through_the_queue_once(bus, rabbitmq, command, tmp_path):
    """Not once for each trace."""
    _, lines = recorded("token-issue")
    base_id = json.loads(lines.splitlines()[0])["base_id"]
    source = tmp_path / "traces.jsonl"
    source.write_text("".join(lines.replace(base_id, f"trace-{number}") for number in range(20)))
    with Cutting(rabbitmq.port) as proxy:
        target = rabbitmq.url.replace("rabbit://", "messaging://").replace(str(rabbitmq.port), str(proxy.port))
        copied = 20 * len(lines.splitlines())
        for outcome in ("copied", "held"):
            done = command("trace", "copy", "--all", f"--from=file://{source}", f"--to={target}", "--json")
            assert f'"{outcome}": {copied}' in done.stdout, (done.stdout, done.stderr)
        assert proxy.connections < 10
    wait_until(lambda: bus.depth() == copied, "the reader to put everything back", SECONDS)


def test_what_memory_does_not_hold_is_counted_and_told(broker, service, upstream):
    """The report tells how many; upstream's reader is not disturbed by that."""
    broker.stop()
    # More than queue and recorder hold together.
    service.record("B", 16_000, 8_000)
    assert service.flush(0)["recorded"] == 32_000
    broker.start_again()
    counters = service.flush(200)
    assert counters["stored"] + counters["lost"] == counters["recorded"]
    assert counters["lost"] > 0
    report = driver(broker.url).get_report("B")
    assert report["info"]["lost"] == counters["lost"]
    stored = sum(len([name for name in node["info"] if name.startswith("meta.raw")]) for node in report["children"])
    assert stored == counters["stored"]
    read = json.loads(upstream(REPORT, f"{broker.url}?rabbit_quorum_queue=true", "B"))
    assert read["stats"]["x"]["count"] == report["stats"]["x"]["count"]


def test_a_wrong_password_is_told_once_and_harms_nobody(rabbitmq, tmp_path):
    text = """
import logging, sys
logging.basicConfig(level=logging.INFO)
from osprofiler import _native, notifier, profiler
notifier.set(notifier.create("messaging://", transport_url=sys.argv[1], project="p", service="s"))
profiler.init("SECRET")
for _ in range(3):
    with profiler.Trace("x"):
        pass
    counters = _native.flush(3)
assert counters["waiting"] == counters["recorded"] == 6, counters
"""
    url = f"rabbit://{USER}:wrong-secret@127.0.0.1:{rabbitmq.port}/"
    told = capture([sys.executable, "-c", text, url], tmp_path / "service.log").messages
    assert told.count("ACCESS_REFUSED") == 1, told
    assert f"rabbit://{USER}:***@127.0.0.1:{rabbitmq.port}/" in told
    assert "wrong-secret" not in told
