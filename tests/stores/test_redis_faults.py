# SPDX-License-Identifier: Apache-2.0
"""Redis that fails: what a person is told, and that a service goes on and every notification is accounted for."""

import http.server
import os
import signal
import socket
import threading
from contextlib import contextmanager, suppress

import pytest
import redis as client
from asked import ID, count, told
from recording import SECONDS, Service

from house.waiting import free_port, wait_until
from servers.certificates import Certificates
from servers.redis import Redis
from servers.redis_questions import ask
from servers.redis_sentinels import MASTER, PASSWORD, SENTINEL_PASSWORD, Sentinels
from servers.stores import PATIENT, with_options

LIST = f"osprofiler_opt:{ID}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return a running server: without TLS and with it, and with a user who may read alone."""
    folder = tmp_path_factory.mktemp("redis")
    certificates = Certificates(folder / "certificates")
    tls_port = free_port()
    tls = ["--tls-port", tls_port, "--tls-auth-clients", "optional", "--tls-ca-cert-file", certificates.authority]
    tls += ["--tls-cert-file", certificates.certificate, "--tls-key-file", certificates.key]
    with Redis(folder / "server", *tls) as server:
        ask(server.port, "ACL", "SETUSER", "reader", "on", ">s3cret", "~osprofiler*", "+@read", "+@connection")
        server.tls_port, server.certificates = tls_port, certificates
        yield server


@pytest.fixture
def database(server):
    """Return its database, empty, through Python's client."""
    with client.Redis.from_url(server.url, decode_responses=True) as database:
        database.flushall()
        yield database


# What a person is told.


@pytest.mark.parametrize(
    ("connection_string", "expected"),
    [
        ("redis://h:port", "write `host:port`"),
        ("redis://h:99999", "write `host:port`"),
        ("redis://u:s3cret@/?x@h/?y=1", "no option `y`"),
        ("redis://:s3cret@h/one", "write its number"),
        ("redis://h?prot=1", "no option `prot`"),
        ("redis://h?ttl=soon", "`7d`"),
        ("redis://a,b", "?sentinel=mymaster"),
        ("unix://h/run/redis.sock", "write three slashes"),
        ("rediss://h?ssl_cert_reqs=maybe", "`required`"),
    ],
)
def test_a_wrong_connection_string_is_told_with_a_right_one(command, connection_string, expected):
    """One line, without a server."""
    words = told(command, connection_string)
    assert expected in words, words


def test_a_wrong_password_or_user(server, command):
    """The same with any; a missing one is another thing."""
    port = server.port
    ask(port, "ACL", "SETUSER", "default", "resetpass", ">right")
    try:
        assert "the server wants a password" in told(command, f"redis://127.0.0.1:{port}")
        assert "the server wants a password" in told(command, f"redis://127.0.0.1:{port}/3")
        words = told(command, f"redis://:s3cret@127.0.0.1:{port}")
        assert f"`redis://:***@127.0.0.1:{port}`: the server knows no such user and password" in words
        assert "knows no such user" in told(command, f"redis://u:s3cret@127.0.0.1:{port}")
        assert command("trace", "list", "--connection-string", f"redis://:right@127.0.0.1:{port}").returncode == 0
    finally:
        ask(port, "ACL", "SETUSER", "default", "nopass", login=("right",))


def test_a_user_who_may_not_write(server, database):
    """What it lacks, and how to allow it. What was recorded waits until it is allowed."""
    with Service(f"redis://reader:s3cret@127.0.0.1:{server.port}") as service:
        service.record(ID, 5)
        service.await_said("the user may not do that")
        assert service.flush(0)["waiting"] == 10
    assert "ACL SETUSER" in service.log
    assert "s3cret" not in service.log


def test_a_certificate_that_nobody_vouches_for(server, command):
    """And each way to trust it."""
    url = f"rediss://localhost:{server.tls_port}"
    words = told(command, url)
    assert "its certificate is not trusted" in words
    assert "?tls_ca_file=" in words
    authority = server.certificates.authority
    for options in (
        f"tls_ca_file={authority}",
        f"ssl_ca_certs={authority}&ssl_cert_reqs=required",
        "tls_verify=false",
        "ssl_cert_reqs=none",
    ):
        done = command("trace", "list", "--connection-string", f"{url}?{options}")
        assert done.returncode == 0, done.stderr
    assert "/no-such-file" in told(command, f"{url}?tls_ca_file=/no-such-file")


def test_a_certificate_for_another_host(server, command, tmp_path):
    """Refused, unless only the authority is to count; a certificate of ours is shown."""
    files = server.certificates
    with socket.create_server(("127.0.0.2", 0)) as listener:
        # The certificate is for 127.0.0.1: the same server by another name.
        address = f"127.0.0.2:{listener.getsockname()[1]}"
        with forwarding(listener, server.tls_port):
            url = f"rediss://{address}?tls_ca_file={files.authority}"
            assert "its certificate is not trusted" in told(command, url)
            ours = f"ssl_certfile={files.certificate}&ssl_keyfile={files.key}"
            done = command("trace", "list", "--connection-string", f"{url}&ssl_check_hostname=false&{ours}")
            assert done.returncode == 0, done.stderr


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


def test_tls_where_there_is_none_and_the_other_way_round(server, command):
    """Each is told with the other's scheme."""
    # It waits for more of what it takes for a command.
    assert "`redis://`" in told(command, f"rediss://127.0.0.1:{server.port}?connect_timeout=3&socket_timeout=3")
    assert "`rediss://`" in told(command, f"redis://127.0.0.1:{server.tls_port}")


def test_a_server_of_another_kind(command):
    """It answers, and not as Redis does."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        words = told(command, f"redis://:s3cret@127.0.0.1:{server.server_port}")
        assert "does not speak as Redis does" in words
        assert "does not speak TLS" in told(command, f"rediss://127.0.0.1:{server.server_port}")
        server.shutdown()


def test_nobody_answers(command, tmp_path):
    """Refused at once, a name that is none, silence, no socket."""
    port = free_port()
    assert "nobody listens there" in told(command, f"redis://u:s3cret@127.0.0.1:{port}")
    assert "no-such-host.invalid" in told(command, "redis://no-such-host.invalid")
    assert "there is no such socket" in told(command, f"unix://{tmp_path}/redis.sock")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}?socket_timeout=0.2"
        assert "it does not answer in time" in told(command, url)
        words = told(command, url.replace("redis://", "rediss://"))
        assert "rediss://" in words


def test_a_sentinel_is_no_server_and_a_server_no_sentinel(server, command, tmp_path):
    """Told as that."""
    words = told(command, f"redissentinel://127.0.0.1:{server.port}?sentinel=kolla")
    assert f'the sentinel `127.0.0.1:{server.port}`: the server says "unknown command' in words


# A service goes on.


def test_a_store_that_comes_late(tmp_path, command):
    """Down at the start: what was recorded waits."""
    server = Redis(tmp_path)
    with Service(server.url) as service:
        assert service.record(ID, 50)["recorded"] == 100
        service.await_said("nobody listens there")
        assert service.flush(0)["waiting"] == 100
        with server:
            assert service.flush()["stored"] == 100
            assert count(command, server.url) == 100
    assert service.log.count("cannot store trace notifications") == 1


def test_a_store_that_is_killed_and_comes_back(tmp_path, command):
    """With its data gone: what was recorded meanwhile is there."""
    server = Redis(tmp_path)
    with Service(server.url) as service:
        with server:
            service.record(ID, 50)
            assert service.flush()["stored"] == 100
            os.kill(server.server.child.pid, signal.SIGKILL)
            server.server.child.wait()
        service.record(ID, 20)
        assert service.flush(0.1)["waiting"] == 40
        with server:
            service.record(ID, 10)
            assert service.flush()["stored"] == 160
            assert count(command, server.url) == 60


def test_a_store_that_hangs(tmp_path, command):
    """A call costs its time-out; what may have been stored twice is read once."""
    with Redis(tmp_path) as server, Service(f"{server.url}?socket_timeout=1") as service:
        service.record(ID, 50)
        assert service.flush()["stored"] == 100
        os.kill(server.server.child.pid, signal.SIGSTOP)
        service.record(ID, 50)
        service.await_said("it does not answer in time")
        counters = service.flush(0)
        assert (counters["stored"], counters["waiting"]) == (100, 100)
        os.kill(server.server.child.pid, signal.SIGCONT)
        counters = service.flush()
        assert (counters["stored"], counters["lost"]) == (200, 0)
        assert count(command, server.url) == 200


def test_a_store_that_never_answers():
    """What nobody takes is lost at the end, which is bounded, and counted."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with Service(f"redis://127.0.0.1:{silent.getsockname()[1]}?socket_timeout=0.2") as service:
            assert service.record(ID, 50)["recorded"] == 100
            assert service.flush(0.1)["waiting"] == 100
        assert "100 trace notifications" in service.log


def test_a_store_that_is_full(server, database, command):
    """`maxmemory` without eviction: the batch waits for room."""
    used = database.info("memory")["used_memory"]
    database.config_set("maxmemory", used)
    try:
        with Service(server.url) as service:
            service.record(ID, 50)
            service.await_said("the server's memory is full (`maxmemory`)")
            assert service.flush(0)["waiting"] == 100
            database.config_set("maxmemory", 0)
            assert service.flush()["stored"] == 100
    finally:
        database.config_set("maxmemory", 0)
    assert count(command, server.url) == 100


def test_a_store_that_becomes_a_replica(server, database, command):
    """Nothing is refused for good: it may become the master again."""
    with Service(server.url) as service:
        service.record(ID, 50)
        assert service.flush()["stored"] == 100
        database.replicaof("127.0.0.1", str(free_port()))
        try:
            service.record(ID, 50)
            service.await_said("the server is a replica")
            assert service.flush(0)["waiting"] == 100
        finally:
            database.replicaof("NO", "ONE")
        assert service.flush()["stored"] == 200
    assert count(command, server.url) == 200


def test_too_few_replicas_have_a_batch(server, database, command, tmp_path):
    """It comes again until they have it; the server is given it once."""
    with Service(f"{server.url}?replicas=1&socket_timeout=1") as service:
        service.record(ID, 50)
        service.await_said("only 0 of 1 replicas have it")
        assert service.flush(0)["waiting"] == 100
        # The batch in hand, which is a part of them if it was taken while they were recorded.
        assert 0 < database.llen(LIST) <= 100
        with Redis(tmp_path, "--replicaof", "127.0.0.1", server.port):
            assert service.flush()["stored"] == 100
        assert database.llen(LIST) == 100
        database.flushall()
        # What is gone with its mark is given anew.
        service.record(ID, 10)

        def is_given():
            assert service.flush(1)["waiting"] == 20
            return database.llen(LIST) > 0

        wait_until(is_given, "the batch", SECONDS)
        database.flushall()
        wait_until(is_given, "the batch anew", SECONDS)
        with Redis(tmp_path / "another", "--replicaof", "127.0.0.1", server.port):
            assert service.flush()["stored"] == 120
        assert database.llen(LIST) == 20
    assert count(command, server.url) == 20


def test_somebody_elses_keys(server, database, command):
    """A trace whose keys they are is lost and counted; nothing else is, and what is there stays."""
    other = "00000000-0000-4000-8000-000000000000"
    theirs = [LIST, f"osprofiler_lost:{ID}", "osprofiler_traces"]
    database.mset(dict.fromkeys(theirs, "theirs"))
    with Service(server.url) as service:
        service.record(ID, 10)
        service.record(other, 10)
        counters = service.flush()
        assert (counters["stored"], counters["lost"]) == (20, 20)
    assert database.mget(theirs) == ["theirs"] * 3
    assert count(command, server.url, other) == 20
    assert sum(int(number) for number in database.hvals("osprofiler_lost:")) == 20


def test_a_connection_that_the_server_closed(server, database, command):
    """As servers do with those that are idle for long: nobody is told."""
    with Service(with_options(server.url, PATIENT)) as service:
        service.record(ID, 5)
        service.flush()
        database.client_kill_filter(_type="normal", skipme=True)
        service.record(ID, 5)
        assert service.flush()["stored"] == 20
    assert "cannot store" not in service.log
    assert count(command, server.url) == 20


def test_several_processes_and_their_children(server, database, command):
    """Forked while the parent's connection is open: each has its own."""
    services = [Service(server.url) for _ in range(3)]
    for service in services:
        service.record(ID, 20)
        assert service.flush()["stored"] == 40
        service.record_in_child(ID, 30)
        service.record(ID, 10)
        assert service.flush()["stored"] == 60
    for service in services:
        service.__exit__(None)
    assert count(command, server.url) == 3 * 2 * (20 + 30 + 10)


# Sentinels.


def test_a_fail_over(tmp_path, command):
    """The master is killed: writes go on at the new one, and what was acknowledged is there."""
    with Sentinels(tmp_path) as sentinels:
        url = f"{sentinels.url}/3{sentinels.options}"
        with Service(f"{url}&replicas=1&socket_timeout=1") as service:
            for _ in range(20):
                service.record(ID, 25)
                counters = service.flush()
            assert counters["stored"] == 1000
            os.kill(sentinels.first.server.child.pid, signal.SIGKILL)
            service.record(ID, 25)
            sentinels.await_master(sentinels.second.port)
            # The only other server is the master now, so there is none to have what it has.
            counters = service.flush(1)
            assert (counters["lost"], counters["waiting"]) == (0, 50)
            assert count(command, url) >= 1000
            with sentinels.first:
                ask(sentinels.first.port, "REPLICAOF", "127.0.0.1", sentinels.second.port, login=(PASSWORD,))
                counters = service.flush()
            assert (counters["stored"], counters["lost"]) == (1050, 0)
        assert count(command, url) == 1050


def test_one_sentinel_is_enough(tmp_path, command):
    """Those before it are down or know nothing. Kolla's way of naming them; a wrong name is told."""
    with Sentinels(tmp_path) as sentinels:
        closed = free_port()
        last = sentinels.ports[2]
        url = f"redis://default:{PASSWORD}@127.0.0.1:{closed}?sentinel={MASTER}&sentinel_fallback=127.0.0.1:{last}"
        url += f"&db=0&socket_timeout=60&retry_on_timeout=yes&sentinel_password={SENTINEL_PASSWORD}"
        with Service(url) as service:
            service.record(ID, 5)
            assert service.flush()["stored"] == 10
        assert count(command, url) == 10
        words = told(command, url.replace(f"sentinel={MASTER}", "sentinel=other"))
        assert f"the sentinel `127.0.0.1:{last}` knows no master `other`" in words
        words = told(command, url.replace(f":{PASSWORD}@", ":s3cret@"))
        assert f"the master `127.0.0.1:{sentinels.first.port}`: the server knows no such user" in words
        words = told(command, url.replace(SENTINEL_PASSWORD, "s3cret"))
        assert f"the sentinel `127.0.0.1:{last}`: the server knows no such user" in words
        # Upstream's scheme takes the name from the configuration.
        upstreams = f"redissentinel://:{PASSWORD}@127.0.0.1:{last}?sentinel_password={SENTINEL_PASSWORD}"
        with Service(upstreams, sentinel_service_name=MASTER, socket_timeout=2.0) as service:
            service.record(ID, 5)
            assert service.flush()["stored"] == 10
        assert count(command, url) == 20
