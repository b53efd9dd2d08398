# SPDX-License-Identifier: Apache-2.0
"""Collectors that fail: what a person is told, and that a service goes on and every notification is accounted for.

What a real collector says only in need, such as `Retry-After`, a stand-in of a few lines says.
"""

import json
import socket
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from either import ours
from recording import Service

from house.waiting import free_port, wait_until
from servers.certificates import Certificates
from servers.jaeger import Jaeger
from servers.redis import Redis

WAYS = ("http", "grpc")
SECONDS = 120


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


@pytest.fixture
def copy(command, tmp_path):
    """Return a function that copies a point to a store, and returns what the command says."""
    file = tmp_path / "one.jsonl"
    ids = {"base_id": "B", "trace_id": "1", "parent_id": "B"}
    notifications = (
        {"name": f"x-{end}", **ids, "timestamp": f"2026-01-01T00:00:0{second}.000000", "info": {}}
        for second, end in enumerate(("start", "stop"))
    )
    file.write_text("".join(json.dumps(notification) + "\n" for notification in notifications))

    def copy(store: str, *status: int) -> str:
        done = command("trace", "copy", "--all", "--from", f"file://{file}", "--to", store)
        assert done.returncode in (status or (1,)), done.stderr
        assert done.stdout == ""
        assert "s3cret" not in done.stderr
        return done.stderr

    return copy


class Collector:
    """A stand-in that takes spans over HTTP and answers as it is told, for as long as the `with` block lasts."""

    def __init__(self, *answers: tuple[int, dict, bytes]):
        """Answer with each status, headers and body in turn; the last of `answers` stays."""
        self.requests: list[str] = []
        self.answers = list(answers)
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                collector.requests.append(self.path)
                status, headers, body = collector.answers.pop(0) if len(collector.answers) > 1 else collector.answers[0]
                self.send_response(status)
                for name, value in {"Content-Type": "application/x-protobuf", "Content-Length": len(body)}.items():
                    self.send_header(name, headers.get(name, value))
                if "Retry-After" in headers:
                    self.send_header("Retry-After", headers["Retry-After"])
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "Collector":
        """Begin to answer."""
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        """End."""
        self.server.shutdown()
        self.server.server_close()


TAKEN = (200, {}, b"")


def test_each_mistake_in_a_connection_string_has_one_message(copy):
    for store, message in [
        ("otlp://", "names no collector"),
        ("otlp://h:port", "names a collector that cannot be: `h:port`"),
        ("otlp://u:s3cret@/x", "names no collector"),
        ("otlp://u:s3@cret@h:port", "names a collector that cannot be: `h:port`"),
        ("otlp://h?nope=s3cret1", "the driver `otlp` has no option `nope`"),
        ("otlp://h?protocol=udp", "the option `protocol` cannot be `udp`"),
        ("otlp://h/path?protocol=grpc", "gRPC has none to choose"),
        ("otlp://h?headers=s3cret", "the option `headers` cannot be what it is"),
        ("otlps://h?tls_key_file=/k", "the key of no certificate"),
    ]:
        told = copy(store, 2)
        assert told.count("error: ") == 1, told
        assert message in told


@pytest.mark.parametrize("way", WAYS)
def test_each_fault_of_a_server_has_one_message(copy, server, tls_server, tmp_path, way):
    port = {"http": server.http_port, "grpc": server.grpc_port}[way]
    tls_port = {"http": tls_server.http_port, "grpc": tls_server.grpc_port}[way]
    other = {"http": server.grpc_port, "grpc": server.query_port}[way]
    certificates = Certificates(tmp_path / "others")
    plain, tls = "otlp://127.0.0.1", "otlps://127.0.0.1"
    with Redis(tmp_path / "redis") as redis:
        for store, message in [
            (f"{plain}:{free_port()}?protocol={way}", "nobody listens there"),
            (f"{plain}:{redis.port}?protocol={way}", "is the port its receiver's, and for this protocol?"),
            (f"{plain}:{other}?protocol={way}", ""),
            (f"{plain}:{tls_port}?protocol={way}", ""),
            (f"{tls}:{port}?protocol={way}", "what answers there speaks no TLS"),
            (f"{tls}:{tls_port}?protocol={way}", "its certificate is not trusted"),
            (f"{tls}:{tls_port}?protocol={way}&tls_ca_file={certificates.authority}", "its certificate is not trusted"),
            (
                f"{tls}:{tls_port}?protocol={way}&tls_ca_file=/nowhere/ca.pem",
                "cannot read certificates from `/nowhere/ca.pem`",
            ),
        ]:
            told = copy(store, 1, 2)
            assert told.count("\nerror: ") == 1, told
            assert f"cannot send to the collector `{store.partition('://')[2].partition('?')[0]}`" in told
            assert message in told
            assert "copied 1" not in told
            assert "copied 2" not in told
    assert copy(f"{tls}:{tls_port}?protocol={way}&tls_verify=false", 0).count("copied 2 notifications") == 1
    assert "`http`" not in copy(server.url(way), 0)


def test_a_path_that_no_collector_has_is_said(copy, server):
    told = copy(f"otlp://127.0.0.1:{server.http_port}/nowhere")
    assert "it answers 404" in told
    assert "for this protocol and path?" in told


def test_headers_are_what_a_collector_wants_to_see(copy, tmp_path):
    """Who brings no token is told so, and the token is shown nowhere."""
    tenancy = ("--multi-tenancy.enabled=true", "--multi-tenancy.header=x-tenant", "--multi-tenancy.tenants=s3cret")
    with Jaeger(tmp_path / "jaeger", options=tenancy) as server:
        copy(server.url("grpc", headers="x-tenant=s3cret"), 0)
        for headers, message in (
            ("x-tenant=s3cret2", "PERMISSION_DENIED: unknown tenant"),
            ("x-other=s3cret", "missing tenant header"),
        ):
            assert message in copy(server.url("grpc", headers=headers))
        # Over HTTP it sees no headers at all.
        assert "it answers 403 Forbidden: missing tenant header" in copy(server.url("http"))


def test_it_is_written_only(command):
    for words in (("show", "B"), ("list",)):
        done = command("trace", *words, "--connection-string", "otlp://u:s3cret@h")
        assert (done.stdout, done.returncode) == ("", 2)
        assert "`otlp://u:***@h` cannot be read: it is written only" in done.stderr
        assert "sqlite:///PATH, otlp://HOST" in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_service_goes_on_through_a_restart(tmp_path, way, base_id):
    """What was recorded while the collector was down is there afterwards, and the counters say so."""
    with Jaeger(tmp_path / "jaeger") as server, Service(server.url(way)) as service:
        service.record(str(uuid.uuid4()), 5)
        assert service.flush()["stored"] == 10
        server.stop()
        service.record(base_id, 5)
        service.await_said("nobody listens there")
        down = service.flush(0)
        assert (down["stored"], down["waiting"], down["lost"]) == (10, 10, 0)
        server.start()
        up = service.flush()
        assert (up["stored"], up["waiting"], up["lost"]) == (20, 0, 0)
        assert len(server.trace(base_id, 5)) == 5
    assert "nothing was lost" in service.log


@pytest.mark.parametrize("way", WAYS)
def test_a_second_collector_takes_over(server, way, base_id):
    """Whichever of them is down."""
    port = {"http": server.http_port, "grpc": server.grpc_port}[way]
    for hosts in (f"127.0.0.1:{free_port()},127.0.0.1:{port}", f"127.0.0.1:{port},127.0.0.1:{free_port()}"):
        with Service(f"otlp://{hosts}?protocol={way}") as service:
            service.record(base_id, 5)
            counters = service.flush()
            assert (counters["stored"], counters["lost"]) == (10, 0)
    assert len(server.trace(base_id, 10)) == 10


def test_a_collector_is_left_alone_for_as_long_as_it_says(base_id):
    """And gets everything then; nothing comes in between, however often somebody flushes."""
    busy = (503, {"Retry-After": "8"}, b"")
    with Collector(busy, TAKEN) as collector, Service(f"otlp://{collector.address}/tenant") as service:
        service.record(base_id, 5)
        wait_until(lambda: collector.requests, "the first request", SECONDS)
        for _ in range(3):
            assert service.flush(0.2)["waiting"] == 10
        assert collector.requests == ["/tenant/v1/traces"]
        counters = wait_until(lambda: (now := service.flush(1))["waiting"] == 0 and now, "the spans", SECONDS)
        assert (counters["stored"], counters["lost"]) == (10, 0)
        assert len(collector.requests) >= 2
    assert "it answers 503 Service Unavailable" in service.log


def test_what_is_refused_is_lost_and_said(base_id):
    """At once and for good, or in part."""
    partial = b"\x0a\x0e\x08\x01\x12\x0atoo large!"
    with Collector((400, {}, b"")) as collector, Service(f"otlp://{collector.address}") as service:
        service.record(base_id, 5)
        assert service.flush()["lost"] == 10
        collector.answers = [(200, {}, partial)]
        service.record(base_id, 5)
        counters = service.flush()
        assert (counters["stored"] + counters["lost"], counters["waiting"]) == (20, 0)
        assert 0 < counters["stored"] < 10
    assert "it answers 400 Bad Request" in service.log
    assert "spans: too large!" in service.log


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"Content-Type": "text/html"}, b"<html>log in</html>"),
        (200, {}, b"<html>log in</html>"),
        (302, {}, b""),
        (502, {"Content-Type": "text/html"}, b"<html>bad gateway</html>"),
        (401, {}, b""),
    ],
)
def test_what_a_stranger_answers_is_no_success(answer, base_id):
    """A proxy's page, for one: what it was given is sent again, and the collector gets it."""
    with Collector(answer, TAKEN) as collector, Service(f"otlp://{collector.address}") as service:
        service.record(base_id, 5)
        counters = service.flush()
        assert (counters["stored"], counters["lost"], counters["waiting"]) == (10, 0, 0)
        assert len(collector.requests) > 1
    assert "nothing was lost" in service.log


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("says", [b"", b"-ERR what?\r\n", b"\0" * 100])
def test_nonsense_and_silence_harm_nobody(way, says, base_id):
    """A request is not the slower for it, and the end of the process waits no longer than it may."""
    held = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.append(connection)
                if says:
                    connection.recv(10)
                    connection.sendall(says)

        threading.Thread(target=answer, daemon=True).start()
        url = f"otlp://127.0.0.1:{listener.getsockname()[1]}?protocol={way}&socket_timeout=0.3"
        with Service(url) as service:
            service.record(base_id, 5)
            service.await_said("cannot send to the collector")
            counters = service.flush(0)
            assert (counters["stored"], counters["waiting"]) == (0, 10)
        assert held
    assert "10 trace notifications are lost" in service.log
    for connection in held:
        connection.close()


def test_what_is_open_at_the_end_of_a_process_is_accounted_for():
    """With nobody to take it, it is lost, not stored."""
    program = """
        import sys
        from osprofiler import _native, notifier, profiler
        notifier.set(notifier.create(sys.argv[1]))
        profiler.init("key", "B")
        profiler.start("x")
        _native.flush(0.2)
        _native.end()
        counters = _native.counters()
        print(counters["stored"], counters["lost"], counters["waiting"])
    """
    assert ours(program, f"otlp://127.0.0.1:{free_port()}") == "0 1 0\n"
