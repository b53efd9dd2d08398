# SPDX-License-Identifier: Apache-2.0
"""OTLP: what was recorded is found in a real Jaeger as spans, beside what upstream's driver makes of the same."""

import hashlib
import json
import uuid
from datetime import UTC, datetime

import pytest
from either import WRITE, ours, recorded

from servers.certificates import Certificates
from servers.jaeger import Jaeger, Span

WAYS = ("http", "grpc")
# When the first of written notifications was.
SECOND = 1_795_362_511
# What the parts of a service's place in OTLP are called, beside who sends it.
RESOURCE = ("service.name", "service.namespace", "host.name")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return a running Jaeger."""
    with Jaeger(tmp_path_factory.mktemp("jaeger")) as server:
        yield server


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory):
    """Return a Jaeger whose collector speaks TLS and nothing else, with a certificate that nobody trusts."""
    folder = tmp_path_factory.mktemp("jaeger-tls")
    with Jaeger(folder, Certificates(folder / "certificates")) as server:
        yield server


@pytest.fixture
def base_id() -> str:
    """Return a new trace's id."""
    return str(uuid.uuid4())


def lines(base_id: str, *events: tuple[str, str, str, int, dict]) -> str:
    """Return notifications, one a line: point, parent, name, microseconds after the first, info."""
    made = []
    for trace_id, parent_id, name, micros, info in events:
        timestamp = datetime.fromtimestamp(SECOND, UTC).replace(microsecond=micros)
        made.append(
            {
                "name": name,
                "base_id": base_id,
                "trace_id": trace_id,
                "parent_id": parent_id,
                "timestamp": timestamp.isoformat(timespec="microseconds").removesuffix("+00:00"),
                "info": {"host": "h1"} | info,
                "project": "shop",
                "service": "api",
            }
        )
    return "\n".join(map(json.dumps, made))


def micros(timestamp: str) -> int:
    """Return a notification's time as Jaeger has it."""
    since = datetime.fromisoformat(timestamp).replace(tzinfo=UTC) - datetime.fromtimestamp(0, UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def low_half(id_: str) -> str:
    """Return the span id of a UUID."""
    return uuid.UUID(id_).hex[16:]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["image-list", "server-stop-error"])
def test_a_recorded_trace_is_found_as_it_was(server, way, name):
    """Each point is a span, with its parent, its times to the microsecond, its error and its service."""
    old_id, text = recorded(name)
    base_id = str(uuid.uuid4())
    notifications = [json.loads(line) for line in text.replace(old_id, base_id).splitlines()]
    ours(WRITE, server.url(way), lines="\n".join(map(json.dumps, notifications)))
    points: dict[str, dict] = {}
    for notification in notifications:
        end = "stop" if notification["name"].endswith("-stop") else "start"
        points.setdefault(notification["trace_id"], {})[end] = notification
    spans = {span.id: span for span in server.trace(base_id, len(points))}
    assert len(spans) == len(points)
    failed = 0
    for trace_id, ends in points.items():
        span, start, stop = spans[low_half(trace_id)], ends["start"], ends["stop"]
        parent = start["parent_id"]
        assert span.parent == (None if parent == base_id else low_half(parent))
        begin, end = micros(start["timestamp"]), micros(stop["timestamp"])
        assert (span.start, span.duration) == (begin, max(end - begin, 0))
        assert span.resource["service.name"] == f"{start['project']}-{start['service']}"
        assert span.resource["service.namespace"] == start["project"]
        assert span.resource["host.name"] == start["info"]["host"]
        etype = stop["info"].get("etype")
        assert span.tags.get("otel.status_code") == ("ERROR" if etype else None)
        failed += etype is not None
        statement = start["info"].get("db", {}).get("statement")
        assert span.tags.get("db.statement") == statement
    assert (failed > 0) == (name == "server-stop-error")


@pytest.mark.parametrize("way", WAYS)
def test_points_of_every_kind(server, way, base_id):
    """Names, kinds, attributes, errors."""
    one, two, three, four = (str(uuid.uuid4()) for _ in range(4))
    request = {"path": "/v3", "query": "a=b", "method": "GET", "scheme": "http"}
    requests = {"method": "GET", "hostname": "glance", "port": 9292, "scheme": "http", "path": "/", "query": ""}
    text = lines(
        base_id,
        (one, base_id, "wsgi-start", 100, {"request": request}),
        (two, one, "db-start", 200, {"db": {"statement": "SELECT 1", "params": {"a": 1}}}),
        (two, one, "db-stop", 203, {"etype": "ValueError", "message": 'no "x"'}),
        (three, one, "http-start", 300, {"requests": requests}),
        (three, one, "http-stop", 400, {"requests": {"status_code": 204}}),
        (
            four,
            three,
            "fast-start",
            310,
            {"function": {"name": "f", "args": "(1,)", "kwargs": "{}"}, "own": {"a": True}},
        ),
        (four, three, "fast-stop", 320, {"function": {"result": "2"}}),
        (one, base_id, "wsgi-stop", 500, {}),
    )
    ours(WRITE, server.url(way), lines=text)
    wsgi, db, http, fast = server.trace(base_id, 4)
    names = [span.name for span in (wsgi, db, http, fast)]
    assert names == ["WSGI_GET_/v3", "SQL_SELECT", "REQUESTS_GET_glance", "fast"]
    kinds = [span.tags["span.kind"] for span in (wsgi, db, http, fast)]
    assert kinds == ["server", "client", "client", "internal"]
    assert [span.parent for span in (wsgi, db, http, fast)] == [None, wsgi.id, wsgi.id, http.id]
    assert {f"http.{name}": value for name, value in request.items()}.items() <= wsgi.tags.items()
    assert db.tags["db.params"] == '{"a": 1}'
    assert (db.tags["error"], db.tags["otel.status_description"]) == (True, 'ValueError: no "x"')
    (event,) = db.events
    assert event == {"event": "exception", "exception.type": "ValueError", "exception.message": 'no "x"'}
    assert (http.tags["status_code"], http.tags["http.port"]) == (204, 9292)
    assert {"name": "f", "args": "(1,)", "kwargs": "{}", "result": "2", "info.own.a": True}.items() <= fast.tags.items()
    assert "error" not in wsgi.tags
    assert {name: wsgi.resource[name] for name in RESOURCE} == {
        "service.name": "shop-api",
        "service.namespace": "shop",
        "host.name": "h1",
    }


@pytest.mark.parametrize("way", WAYS)
def test_a_point_that_ends_later_and_one_that_never_does(server, way, base_id):
    """A start waits for its stop, for however many batches; what is open at the end is a span of its own."""
    program = """
        import sys
        from osprofiler import _native, notifier, profiler
        notifier.set(notifier.create(sys.argv[1], project="shop", service="late"))
        profiler.init("key", sys.argv[2])
        profiler.start("outer")
        with profiler.Trace("inner"):
            pass
        first = _native.flush(30)
        assert (first["stored"], first["waiting"], first["lost"]) == (2, 1, 0), first
        profiler.stop()
        second = _native.flush(30)
        assert (second["stored"], second["waiting"], second["lost"]) == (4, 0, 0), second
        profiler.start("never")
        print(_native.flush(30)["waiting"])
    """
    assert ours(program, server.url(way), base_id) == "1\n"
    outer, inner, never = server.trace(base_id, 3)
    assert [span.name for span in (outer, inner, never)] == ["outer", "inner", "never"]
    assert inner.parent == outer.id
    assert outer.start + outer.duration >= inner.start + inner.duration
    assert "osprofiler.incomplete" not in outer.tags
    assert (never.tags["osprofiler.incomplete"], never.duration) == ("the point's end was not recorded", 0)


def test_two_services_and_a_fork_make_one_trace(server, base_id):
    """Each process finds the same ids without asking another."""
    outer = str(uuid.uuid4())
    ours(
        WRITE,
        server.url(),
        lines=lines(base_id, (outer, base_id, "rpc-start", 1, {}), (outer, base_id, "rpc-stop", 9, {})),
    )
    program = """
        import os, sys
        from osprofiler import _native, notifier, profiler
        notifier.set(notifier.create(sys.argv[1], project="shop", service="worker"))
        def record(name):
            profiler.init("key", sys.argv[2], sys.argv[3])
            with profiler.Trace(name):
                pass
            profiler.clean()
        profiler.init("key", sys.argv[2], sys.argv[3])
        profiler.start("around")
        assert _native.flush(30)["waiting"] == 1
        if os.fork() == 0:
            profiler.clean()
            record("child")
            _native.flush(30)
            sys.exit()
        assert os.wait()[1] == 0
        profiler.stop()
        counters = _native.flush(30)
        assert (counters["stored"], counters["waiting"], counters["lost"]) == (2, 0, 0), counters
    """
    ours(program, server.url(), base_id, outer)
    spans = {span.name: span for span in server.trace(base_id, 3)}
    assert set(spans) == {"rpc", "child", "around"}
    assert spans["child"].parent == spans["around"].parent == low_half(outer)
    assert "osprofiler.incomplete" not in spans["around"].tags
    assert spans["child"].resource["service.name"] == "shop-worker"


def test_what_was_lost_is_a_span(server, command, tmp_path, base_id):
    """So whoever looks at the trace knows."""
    file = tmp_path / "lossy.jsonl"
    loss = {"osprofiler_lost": 7, "reason": "queue_full", "base_id": base_id}
    file.write_text(lines(base_id, ("1", base_id, "x-start", 1, {})) + "\n" + json.dumps(loss) + "\n")
    done = command("trace", "copy", base_id, "--from", f"file://{file}", "--to", server.url())
    assert done.returncode == 0, done.stderr
    spans = {span.name: span for span in server.trace(base_id, 2)}
    assert spans["x"].tags["osprofiler.incomplete"] == "the point's end was not recorded"
    lost = spans["osprofiler: notifications were lost"]
    assert (lost.tags["osprofiler.lost.count"], lost.tags["osprofiler.lost.reason"]) == (7, "queue_full")
    assert lost.resource["service.name"] == "osprofiler"


def test_a_store_is_copied_into_it(server, command, tmp_path):
    """How an old trace is looked at in Jaeger."""
    old_id, text = recorded("token-issue")
    base_id = str(uuid.uuid4())
    file = tmp_path / "old.jsonl"
    file.write_text(text.replace(old_id, base_id))
    done = command("trace", "copy", base_id, "--from", f"file://{file}", "--to", server.url("grpc"))
    assert done.returncode == 0, done.stderr
    points = {json.loads(line)["trace_id"] for line in text.splitlines()}
    assert len(server.trace(base_id, len(points))) == len(points)


def test_a_prefix_goes_before_the_services_name(server, base_id):
    """`[profiler_otlp] service_name_prefix`, as upstream has it."""
    program = """
        import sys
        from oslo_config import cfg
        from osprofiler import _native, initializer, opts, profiler
        conf = cfg.ConfigOpts()
        opts.set_defaults(conf, enabled=True, connection_string=sys.argv[1])
        conf([])
        conf.set_override("service_name_prefix", "my cloud", "profiler_otlp")
        initializer.init_from_conf(conf, {}, "shop", "api", "h")
        profiler.init("key", sys.argv[2])
        with profiler.Trace("x"):
            pass
        assert _native.flush(30)["stored"] == 2
    """
    ours(program, server.url(), base_id)
    (span,) = server.trace(base_id, 1)
    assert span.resource["service.name"] == "my cloud-shop-api"


@pytest.mark.parametrize("way", WAYS)
def test_over_tls(tls_server, way, base_id):
    """Compressed; and of a trace whose id is no UUID."""
    name = f"no UUID: {base_id}"
    text = lines(name, ("1", name, "x-start", 1, {}), ("1", name, "x-stop", 2, {}))
    ours(WRITE, tls_server.url(way, compression="gzip"), lines=text)
    (span,) = tls_server.trace(hashlib.sha1(name.encode()).hexdigest()[:32], 1)
    assert (span.name, span.id) == ("x", hashlib.sha1(b"1").hexdigest()[16:32])


UPSTREAM = """
import json, sys
from osprofiler import opts
from osprofiler.drivers import base
driver = base.get_driver(sys.argv[1], project="shop", service="api", host="h1")
for line in sys.stdin:
    driver.notify(json.loads(line))
"""


def test_spans_are_called_as_upstream_calls_them(server, upstream):
    """The same notifications through both drivers: the same tree, names, kinds and attributes; only ours have times."""
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    one, two, three, four = (str(uuid.uuid4()) for _ in range(4))

    def text(base_id):
        return lines(
            base_id,
            (
                one,
                base_id,
                "wsgi-start",
                100,
                {"request": {"path": "/v3", "query": "a=b", "method": "GET", "scheme": "http"}},
            ),
            (two, one, "db-start", 200, {"db": {"statement": "select 1", "params": {"a": 1}}}),
            (two, one, "db-stop", 203, {"db": {"result": "[1]"}}),
            (three, one, "neutron_api-start", 300, {"function": {"name": "f", "args": "(1,)", "kwargs": "{}"}}),
            (
                four,
                three,
                "http-start",
                300,
                {
                    "requests": {
                        "method": "GET",
                        "hostname": "g",
                        "port": 80,
                        "scheme": "http",
                        "path": "/",
                        "query": "",
                    }
                },
            ),
            (four, three, "http-stop", 400, {"requests": {"status_code": 204}}),
            (three, one, "neutron_api-stop", 410, {"function": {"result": "2"}}),
            (one, base_id, "wsgi-stop", 500, {"etype": "KeyError", "message": "m"}),
        )

    address = f"otlp://127.0.0.1:{server.http_port}"
    upstream(UPSTREAM, address, lines=text(first))
    ours(WRITE, address, lines=text(second))
    theirs, own = (server.trace(base_id, 4) for base_id in (first, second))

    def shown(spans: list[Span]):
        return sorted(
            (span.name, span.id, span.parent, span.tags["span.kind"], span.resource["service.name"]) for span in spans
        )

    assert shown(own) == shown(theirs)
    for span in theirs:
        (same,) = [other for other in own if other.id == span.id]
        # Who wrote it, and what our status says beside upstream's `error`.
        known = {name: value for name, value in span.tags.items() if not name.startswith("otel.")}
        assert known.items() <= same.tags.items()
    # Upstream's times are those of the calls.
    assert [span.start - SECOND * 1_000_000 for span in own] == [100, 200, 300, 300]
    assert not any(span.start // 1_000_000 == SECOND for span in theirs)


# What osprofiler 4.4.0 gets wrong: what is recorded, and what Jaeger then shows of its spans and of ours.
DEFECTS = {
    "D-22: a name loses its last letters": (
        [("1", "B", "rpc_cast-start", 1, {}), ("1", "B", "rpc_cast-stop", 2, {})],
        {"rpc_c"},
        {"rpc_cast"},
    ),
    "D-23: a stop ends whatever span began last": (
        [
            ("1", "B", "slow-start", 1, {}),
            ("2", "B", "quick-start", 2, {}),
            ("1", "B", "slow-stop", 3, {"etype": "OfSlow", "message": ""}),
            ("2", "B", "quick-stop", 4, {"etype": "OfQuick", "message": ""}),
        ],
        {"slow OfQuick", "quick OfSlow"},
        {"slow OfSlow status", "quick OfQuick status"},
    ),
    "D-24b: an error is no status": (
        [("1", "B", "x-start", 1, {}), ("1", "B", "x-stop", 2, {"etype": "E", "message": "m"})],
        {"x E"},
        {"x E status"},
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_upstreams_defects_are_not_ours(server, upstream, defect):
    events, theirs, own = DEFECTS[defect]
    ids = {name: str(uuid.uuid4()) for name in "12"}
    address = f"otlp://127.0.0.1:{server.http_port}"
    for write, expected in ((upstream, theirs), (lambda *arguments, lines: ours(*arguments, lines=lines), own)):
        base_id = str(uuid.uuid4())
        text = lines(base_id, *((ids[trace_id], base_id, *rest) for trace_id, _, *rest in events))
        write(UPSTREAM if write is upstream else WRITE, address, lines=text)
        spans = server.trace(base_id, len(expected))
        assert {" ".join([span.name, *error(span)]) for span in spans} == expected


def error(span: Span) -> list[str]:
    """Return the type of a span's error, and whether it is its status."""
    kinds = [event.get("exception.type") or event.get("error.kind") for event in span.events]
    return kinds + ["status"] * (span.tags.get("otel.status_code") == "ERROR")
