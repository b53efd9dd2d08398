# SPDX-License-Identifier: Apache-2.0
"""Elasticsearch that refuses, hangs, fills up, answers nonsense, restarts or goes away.

What people are told, and what becomes of what was recorded.
"""

import http.server
import os
import shutil
import signal
import socket
import threading
import urllib.error
from contextlib import contextmanager, suppress

import pytest
from asked import ID, count, told
from recording import Service

from house.waiting import free_port
from servers.certificates import Certificates
from servers.opensearch import OpenSearch
from servers.opensearch_stores import API_KEY, ENCODED_PASSWORD, USER, Front
from servers.stores import PATIENT

INDEX = "osprofiler-notifications"
# Longer than a batch needs that is stored at once, far shorter than any time-out.
MOMENT_SECONDS = 0.5


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return a running server."""
    with OpenSearch(tmp_path_factory.mktemp("opensearch")) as server:
        yield server


@pytest.fixture
def empty(server):
    """Return the server without indexes of ours."""
    with suppress(urllib.error.HTTPError):
        server.ask("DELETE", f"/{INDEX}*")
    return server


@pytest.fixture
def front(empty):
    """Return what stands before the empty server."""
    with Front(empty.port) as front:
        front.url = f"opensearch://127.0.0.1:{front.port}"
        yield front


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Return certificates for 127.0.0.1 and localhost."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def secure(empty, certificates):
    """Return what stands before the empty server with TLS and users."""
    with Front(empty.port, certificates, with_users=True) as secure:
        yield secure


# What a person is told.


@pytest.mark.parametrize(
    ("connection_string", "expected"),
    [
        ("elasticsearch://", "names no server"),
        ("elasticsearch://h:port", "write `host:port`"),
        ("opensearch://u:s3cret@h:99999", "write `host:port`"),
        ("elasticsearch://u:s3cret@/?x@h/?y=1", "no option `y`"),
        ("opensearchs://h?prot=1", "no option `prot`"),
        ("elasticsearch://h?ttl=soon", "`7d`"),
        ("elasticsearch://h?index=*", "`index=osprofiler-notifications`"),
        ("elasticsearch://u:s3cret@h?api_key=s3cret", "leave out one of both"),
    ],
)
def test_a_wrong_connection_string_is_told_with_a_right_one(command, connection_string, expected):
    """One line, without a server."""
    words = told(command, connection_string)
    assert expected in words, words


def test_who_we_are(secure, certificates, command):
    """A wrong user, password or key is refused; each right one is known."""
    place = f"127.0.0.1:{secure.port}"
    options = f"?tls_ca_file={certificates.authority}"
    for wrong in (f"{place}/{options}", f"{USER}:s3cret@{place}/{options}", f"{place}/{options}&api_key=a:s3cret"):
        words = told(command, f"opensearchs://{wrong}")
        assert "the server does not know us (security_exception: missing authentication" in words
        assert "`?api_key=...`" in words
    assert f"`opensearchs://{USER}:***@{place}/" in told(command, f"opensearchs://{USER}:s3cret@{place}/{options}")
    for right in (f"{USER}:{ENCODED_PASSWORD}@{place}/{options}", f"{place}/{options}&api_key={API_KEY}"):
        done = command("trace", "list", "--connection-string", f"opensearchs://{right}")
        assert done.returncode == 0 or "no trace" in done.stderr.lower(), done.stderr


def test_a_certificate_that_nobody_vouches_for(secure, certificates, command):
    """And each way to trust it."""
    url = f"elasticsearchs://{USER}:{ENCODED_PASSWORD}@localhost:{secure.port}"
    words = told(command, url)
    assert "its certificate is not trusted" in words
    assert "?tls_ca_file=" in words
    for options in (f"tls_ca_file={certificates.authority}", "tls_verify=false"):
        with Service(f"{url}/?{options}") as service:
            service.record(ID, 5)
            assert service.flush()["stored"] == 10
    assert "/no-such-file" in told(command, f"{url}/?tls_ca_file=/no-such-file")


def test_a_certificate_for_another_host(secure, certificates, command):
    """Refused: the same server by another name."""
    with socket.create_server(("127.0.0.2", 0)) as listener:
        address = f"127.0.0.2:{listener.getsockname()[1]}"
        with forwarding(listener, secure.port):
            words = told(command, f"elasticsearchs://{address}/?tls_ca_file={certificates.authority}")
    assert "its certificate is not trusted" in words


@contextmanager
def forwarding(listener, port):
    """Pass every connection on to a port, for as long as the block lasts."""

    def pump(source, target):
        with suppress(OSError):  # one end was closed
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept():
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", port))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield
    listener.shutdown(socket.SHUT_RDWR)


def test_tls_where_there_is_none_and_the_other_way_round(server, secure, command):
    """Each is told with the other's scheme."""
    assert "`elasticsearch://`" in told(command, f"elasticsearchs://{server.address}")
    assert "`elasticsearchs://`" in told(command, f"elasticsearch://127.0.0.1:{secure.port}")


def test_a_server_of_another_kind(command):
    """It answers, and not as Elasticsearch does: refusing, with a page, with other JSON, with anything."""

    class Other(http.server.BaseHTTPRequestHandler):
        answer = (404, b"<html>")

        def log_message(self, *_):
            pass

        def do_any(self):
            status, data = self.answer
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_any

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = f"elasticsearch://u:s3cret@127.0.0.1:{other.server_port}"
        for answer in (
            (404, b"<html>"),
            (200, b"<html>"),
            (200, b"\xff\xfe"),
            (302, b""),
            (405, b'{"error": "s3cret"}'),
        ):
            Other.answer = answer
            assert "does not speak as Elasticsearch or OpenSearch does" in told(command, url), answer
        # It says yes to everything, and means nothing.
        Other.answer = (200, b'{"a": 1}')
        assert "does not speak as Elasticsearch" in told(command, url, "trace", "export", ID)
        with Service(url) as service:
            service.record(ID, 5)
            service.await_said("does not speak as Elasticsearch")
            assert service.flush(0)["waiting"] == 10
        other.shutdown()


def test_a_server_that_speaks_another_protocol(command):
    """It greets first, as mail servers do."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet():
            with suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    with near:
                        near.sendall(b"220 mail.example.org ESMTP\r\n")
                        near.recv(1 << 16)

        threading.Thread(target=greet, daemon=True).start()
        words = told(command, f"elasticsearch://127.0.0.1:{listener.getsockname()[1]}")
        assert "does not speak as Elasticsearch" in words or "it closed the connection" in words
        listener.shutdown(socket.SHUT_RDWR)


def test_nobody_answers(command):
    """Refused at once, a name that is none, silence; of several the first is told."""
    port = free_port()
    assert "nobody listens there" in told(command, f"elasticsearch://u:s3cret@127.0.0.1:{port}")
    words = told(command, "elasticsearch://no-such-host.invalid,no-such-host.invalid:1")
    assert "`elasticsearch://no-such-host.invalid,no-such-host.invalid:1`" in words
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"elasticsearch://127.0.0.1:{silent.getsockname()[1]}/?connect_timeout=0.2&socket_timeout=0.2"
        assert "it does not answer in time" in told(command, url)
        assert "in time" in told(command, url.replace("elasticsearch://", "elasticsearchs://"))


# A service goes on.


def test_a_store_that_comes_late_and_is_killed_and_comes_back(tmp_path, command):
    """Down at the start and in the middle, then there again without its data: what was recorded meanwhile is there."""
    server = OpenSearch(tmp_path)
    # A node that has just started takes its time for a first index.
    with Service(f"{server.url}/?socket_timeout=60") as service:
        assert service.record(ID, 50)["recorded"] == 100
        service.await_said("nobody listens there")
        assert service.flush(0)["waiting"] == 100
        with server:
            assert service.flush()["stored"] == 100
            assert count(command, server.url) == 100
            os.kill(server.server.child.pid, signal.SIGKILL)
            server.server.child.wait()
        service.record(ID, 20)
        assert service.flush(MOMENT_SECONDS)["waiting"] == 40
        shutil.rmtree(tmp_path / "data")
        with server:
            service.record(ID, 10)
            assert service.flush()["stored"] == 160
            assert count(command, server.url) == 60
    # Once a minute at most, and what comes first is said.
    assert service.log.count("cannot store trace notifications") in (1, 2)


def test_a_store_that_hangs(tmp_path, command):
    """A call costs its time-out; what may have been stored twice is read once."""
    with OpenSearch(tmp_path) as server, Service(f"{server.url}/?socket_timeout=5") as service:
        service.record(ID, 50)
        assert service.flush()["stored"] == 100
        os.kill(server.server.child.pid, signal.SIGSTOP)
        service.record(ID, 50)
        service.await_said("in time")
        counters = service.flush(0)
        assert (counters["stored"], counters["waiting"]) == (100, 100)
        os.kill(server.server.child.pid, signal.SIGCONT)
        counters = service.flush()
        assert (counters["stored"], counters["lost"]) == (200, 0)
        assert count(command, server.url) == 200


def test_a_store_that_never_answers():
    """What nobody takes is lost at the end, which is bounded, and counted."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with Service(f"elasticsearch://{address}/?connect_timeout=0.2&socket_timeout=0.2") as service:
            assert service.record(ID, 50)["recorded"] == 100
            assert service.flush(0.1)["waiting"] == 100
        assert "100 trace notifications" in service.log


@pytest.mark.parametrize(
    ("block", "words"),
    [("read_only_allow_delete", "the server has no room left"), ("write", "the index is blocked")],
)
def test_an_index_that_takes_no_more(empty, command, block, words):
    """What a full disk does to it, and an administrator: the batch waits for room."""
    with Service(empty.url) as service:
        service.record(ID, 5)
        assert service.flush()["stored"] == 10
        empty.ask("PUT", f"/{INDEX}/_settings", {f"index.blocks.{block}": True})
        service.record(ID, 50)
        service.await_said(words)
        assert service.flush(0)["waiting"] == 100
        empty.ask("PUT", f"/{INDEX}/_settings", {f"index.blocks.{block}": None})
        assert service.flush()["stored"] == 110
    assert count(command, empty.url) == 110


REFUSALS = [
    (429, "circuit_breaking_exception", "[parent] Data too large", "the server is overloaded"),
    (403, "security_exception", "no permissions for [indices:data/write/bulk]", "the user may not do that"),
    (
        503,
        "cluster_block_exception",
        "blocked by: [SERVICE_UNAVAILABLE/2/no master];",
        "the server cannot at the moment",
    ),
    (400, "validation_exception", "cluster currently has [1000]/[1000] maximum normal shards open;", "no room left"),
    (404, "index_not_found_exception", "no such index", "makes no index by itself"),
]


@pytest.mark.parametrize(("status", "kind", "reason", "words"), REFUSALS)
@pytest.mark.parametrize("whole", [True, False], ids=["the request", "each document"])
def test_a_server_that_refuses_for_the_time_being(front, command, status, kind, reason, words, whole):
    """Nothing is lost: it is asked again."""

    def refuse(_method, path, body, _node):
        if "_bulk" not in path:
            return None
        error = {"type": kind, "reason": reason}
        if whole:
            return status, {"error": error, "status": status}
        return 200, {"items": [{"create": {"status": status, "error": error}}] * (body.count(b"\n") // 2)}

    front.answer = refuse
    with Service(front.url) as service:
        service.record(ID, 50)
        service.await_said(words)
        assert service.flush(0)["waiting"] == 100
        front.answer = None
        assert service.flush()["stored"] == 100
    assert count(command, front.url) == 100


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}),
        (200, {"items": []}),
        pytest.param((200, {"items": [{"create": {"status": 201}}] * 101}), id="for more than were sent"),
        (200, {"items": "x"}),
        (200, "{"),
        (200, ""),
        (302, {}),
        (502, "<html>"),
    ],
    ids=str,
)
def test_answers_that_say_nothing(front, command, answer):
    """What is not known to be stored is not counted as stored."""
    front.answer = lambda _method, path, _body, _node: answer if "_bulk" in path else None
    with Service(front.url) as service:
        service.record(ID, 50)
        assert service.flush(MOMENT_SECONDS)["waiting"] == 100
        front.answer = None
        assert service.flush()["stored"] == 100
    assert count(command, front.url) == 100


def test_a_part_of_the_index_that_does_not_answer_is_no_trace_without_it(front, command):
    """Half of a trace is not taken for all of it."""
    with Service(front.url) as service:
        service.record(ID, 5)
        service.flush()
    error = {"type": "search_phase_execution_exception", "reason": "Partial shards failure"}
    front.answer = lambda _method, path, _body, _node: (503, {"error": error}) if "_search" in path else None
    words = told(command, front.url, "trace", "show", "--json", ID)
    assert "Partial shards failure" in words
    assert all("allow_partial_search_results=false" in path for _, path in front.requests if "_search" in path)


def test_an_index_that_is_removed_meanwhile(empty, command):
    """By an administrator: it is made again as it was, and what comes is stored."""
    with Service(empty.url) as service:
        service.record(ID, 50)
        assert service.flush()["stored"] == 100
        empty.ask("DELETE", f"/{INDEX}*")
        service.record(ID, 10)
        assert service.flush()["stored"] == 120
    assert count(command, empty.url) == 20
    mapping = empty.ask("GET", f"/{INDEX}/_mapping")[INDEX]["mappings"]
    assert mapping["properties"]["base_id"]["type"] == "keyword"


def test_the_next_server_is_asked_when_one_goes_away(empty, command):
    """In the middle of it, and nobody is told; a gateway that has lost its server counts as gone."""
    with Front(empty.port) as first, Front(empty.port) as second:
        url = f"elasticsearch://127.0.0.1:{first.port},127.0.0.1:{second.port}/?{PATIENT}"
        with Service(url) as service:
            service.record(ID, 5)
            assert service.flush()["stored"] == 10
            assert [bool(one.requests) for one in (first, second)] == [True, False]
            first.answer = lambda *_: (503, "<html>")
            service.record(ID, 5)
            assert service.flush()["stored"] == 20
            assert second.requests
            second.answer, first.answer = first.answer, None
            service.record(ID, 5)
            assert service.flush()["stored"] == 30
        assert "cannot store" not in service.log
        assert count(command, url) == 30
    assert "nobody listens there" in told(command, url)


def test_a_connection_that_the_server_closed(empty, command):
    """As servers do with those that are idle for long: nobody is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections = []
        with passing(listener, empty.port, connections):
            url = f"elasticsearch://127.0.0.1:{listener.getsockname()[1]}/?{PATIENT}"
            with Service(url) as service:
                service.record(ID, 5)
                service.flush()
                for connection in connections:
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
                service.record(ID, 5)
                assert service.flush()["stored"] == 20
            assert "cannot store" not in service.log
            assert count(command, url) == 20


@contextmanager
def passing(listener, port, connections):
    """Pass connections on to a port, and keep them."""
    with forwarding(Kept(listener, connections), port):
        yield


class Kept:
    """A listener that keeps what it accepts."""

    def __init__(self, listener, connections):
        self.listener = listener
        self.connections = connections
        self.shutdown = listener.shutdown

    def accept(self):
        """Return a connection."""
        near, address = self.listener.accept()
        self.connections.append(near)
        return near, address


def test_several_processes_and_their_children(empty, command):
    """Forked while the parent's connection is open: each has its own."""
    services = [Service(empty.url) for _ in range(3)]
    for service in services:
        service.record(ID, 20)
        assert service.flush()["stored"] == 40
        service.record_in_child(ID, 30)
        service.record(ID, 10)
        assert service.flush()["stored"] == 60
    for service in services:
        service.__exit__(None)
    assert count(command, empty.url) == 3 * 2 * (20 + 30 + 10)
