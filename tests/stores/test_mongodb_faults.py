# SPDX-License-Identifier: Apache-2.0
"""MongoDB that fails: what a person is told, and that a service goes on and every notification is accounted for.

FerretDB is the server. Refusals that it does not know are a proxy's before it, which also sees what a client says.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bson
import pymongo
import pytest
from recording import Service

from servers.certificates import Certificates
from servers.ferretdb import FerretDB
from servers.mongodb_wire import Proxy
from servers.redis import Redis

ID = "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee"
NAMES = Path(__file__).parents[1] / "servers" / "names.py"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Return a server's certificate, from an authority that nobody trusts."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return a running server."""
    with FerretDB(tmp_path_factory.mktemp("ferretdb")) as server:
        yield server


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory, certificates):
    """Return a running server with TLS."""
    with FerretDB(tmp_path_factory.mktemp("ferretdb-tls"), certificates) as server:
        yield server


@pytest.fixture
def database(server):
    """Return upstream's database, empty, through Python's client."""
    with pymongo.MongoClient(server.url) as client:
        client.drop_database("osprofiler")
        yield client["osprofiler"]


def told(command, url):
    """Return what the command says of a store that it cannot list."""
    done = command("trace", "list", "--connection-string", url)
    assert done.returncode != 0, done.stdout
    assert "s3cret" not in done.stdout + done.stderr
    return done.stderr


def refusal(code, words):
    """Return a server's answer to what it refuses."""
    return {"ok": 0.0, "errmsg": words, "code": code, "codeName": "X"}


def answering(*names, answer):
    """Return what a proxy answers to commands of these names."""
    return lambda command: answer if next(iter(command)) in names else None


# What a person is told.


@pytest.mark.parametrize(
    ("connection_string", "expected"),
    [
        ("mongodb://", "host"),
        ("mongodb:///osprofiler", "host"),
        ("mongodb://h:0x1", "port"),
        ("mongodb://h:99999", "port"),
        ("mongodb://h/?prot=1", "no option `prot`"),
        ("mongodb://h/?ttl=soon", "`7d`"),
        ("mongodb://h/?connectTimeoutMS=soon", "connecttimeoutms"),
        ("mongodb://h/?database=a.b", "`database=osprofiler`"),
        ("mongodb://:s3cret@h", "mongodb://[user:password@]host"),
        ("mongodb+srv://h:1", "port"),
        ("mongodb+srv://a,b", "exactly one host"),
    ],
)
def test_a_wrong_connection_string_is_told_with_a_right_one(command, connection_string, expected):
    """One line, without a server."""
    words = told(command, connection_string)
    assert expected in words
    assert "help: " in words


def test_nobody_answers(command):
    """Refused at once, a name that does not exist: told within the time-out, and what to check."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = f"127.0.0.1:{gone.getsockname()[1]}"
    words = told(command, f"mongodb://u:s3cret@{address}/?connect_timeout=3")
    assert f"mongodb://u:***@{address}/" in words
    assert "nobody listens there" in words
    assert "check that the server runs" in words
    assert "no-such-host.invalid" in told(command, "mongodb://no-such-host.invalid/?connect_timeout=0.2")


def test_somebody_accepts_and_is_silent(command):
    """Far sooner than the client's own half minute."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mongodb://127.0.0.1:{silent.getsockname()[1]}"
        assert "help: " in told(command, f"{url}/?connect_timeout=0.2&socket_timeout=0.2")


def test_a_server_of_another_kind(command, tmp_path):
    """It is said that it is none of MongoDB's."""
    with Redis(tmp_path / "redis") as redis:
        words = told(command, f"mongodb://127.0.0.1:{redis.port}/?connect_timeout=5")
    assert "MongoDB" in words


def test_a_wrong_password(command, server):
    """The server's words, and where users are looked for. The password may hold what URLs give a meaning."""
    refused = answering("saslStart", answer=refusal(18, "Authentication failed for s3cret@/x."))
    with Proxy(server.port, refused) as proxy:
        words = told(command, f"mongodb://u:s3cret@/x@{proxy.address}")
    assert "Authentication failed for ***." in words
    assert "`authSource`" in words
    starts = [command for command in proxy.commands if "saslStart" in command]
    assert starts


def test_a_missing_right(command, server):
    """What to grant."""
    refused = answering("aggregate", "find", answer=refusal(13, "not authorized on osprofiler"))
    with Proxy(server.port, refused) as proxy:
        words = told(command, proxy.url)
    assert "not authorized on osprofiler (code 13)" in words
    assert "grant" in words


def test_certificates(command, server, tls_server, certificates):
    """One that is not trusted, and each way to trust it; TLS where there is none, and the other way round."""
    url = f"mongodb://{tls_server.address}"
    words = told(command, f"{url}/?tls=true")
    assert "certificate is not trusted" in words
    assert "tls_ca_file=" in words
    trusting = (
        f"tls_ca_file={certificates.authority}",
        "tls_verify=false",
        f"TLS=true&tlscafile={certificates.authority}",
    )
    for options in trusting:
        done = command("trace", "list", "--connection-string", f"{url}/?{options}")
        assert done.returncode == 0, done.stderr
    assert "tls" in told(command, f"{url}/?connect_timeout=5").lower()
    assert "TLS" in told(command, f"{server.url}/?tls=true&connect_timeout=5")
    assert "no-such-file" in told(command, f"{url}/?tls_ca_file=/no-such-file")


# A service goes on.


def test_a_store_that_comes_late(tmp_path):
    """Down at the start: what was recorded waits."""
    server = FerretDB(tmp_path)
    service = Service(f"{server.url}/?connect_timeout=2")
    assert service.record(ID, 50)["recorded"] == 100
    service.await_said("cannot store trace notifications")
    assert service.flush(0)["waiting"] == 100
    with server:
        assert service.flush()["stored"] == 100
        with pymongo.MongoClient(server.url) as client:
            assert client.osprofiler.profiler.count_documents({}) == 100
    logged = service.end()
    assert logged.count("cannot store trace notifications") == 1
    assert "takes trace notifications again" in logged


def test_a_store_that_goes_away_and_comes_back(tmp_path):
    """In the middle, with what it had stored kept."""
    server = FerretDB(tmp_path)
    with server:
        service = Service(server.url)
        service.record(ID, 50)
        assert service.flush()["stored"] == 100
    service.record(ID, 50)
    assert service.flush(0.1)["stored"] == 100
    with server:
        service.record(ID, 50)
        assert service.flush()["stored"] == 300
        with pymongo.MongoClient(server.url) as client:
            assert client.osprofiler.profiler.count_documents({}) == 300
    service.end()


def test_a_store_that_goes_away_for_good():
    """What nobody takes is counted as lost, at the end at the latest, which is bounded."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        service = Service(f"mongodb://127.0.0.1:{silent.getsockname()[1]}/?connect_timeout=0.2&socket_timeout=0.2")
        assert service.record(ID, 50)["recorded"] == 100
        assert service.flush(0.1)["waiting"] == 100
        assert "100 trace notifications" in service.end()


# What is not listed anywhere, but passes as the server says.
UNKNOWN = 99_999
PASSING = [
    *[91, 10107, 14031, 13, 18, 46, 63, 70, 82, 133, 150, 216, 365, 402, 433, 453, 462, 11601, 13388],
    pytest.param(UNKNOWN, id="labelled"),
]


@pytest.mark.parametrize("code", PASSING)
def test_a_refusal_that_passes(server, database, code):
    """The server stops, looks for a primary or a shard, lacks room or time, a user a right: the batch comes again."""
    labels = {"errorLabels": ["RetryableWriteError"]} if code == UNKNOWN else {}
    refusals = [refusal(code, "not now") | labels] * 3

    def answer(command):
        return refusals.pop() if "insert" in command and refusals else None

    with Proxy(server.port, answer) as proxy:
        service = Service(proxy.url)
        service.record(ID, 10)
        counters = service.flush()
        service.end()
    assert (counters["stored"], counters["lost"]) == (20, 0)
    assert not refusals
    assert database.profiler.count_documents({}) == 20


def test_an_answer_that_does_not_come(server, database, command):
    """What was stored all the same is not stored twice."""
    cut = []

    def answer(asked):
        if "insert" in asked and not cut:
            database.profiler.insert_many(asked["documents"])
            cut.extend(asked["documents"])
            raise EOFError
        return None

    with Proxy(server.port, answer) as proxy:
        service = Service(proxy.url)
        service.record(ID, 10)
        counters = service.flush()
        service.end()
    assert (counters["stored"], counters["lost"]) == (20, 0)
    assert cut
    assert database.profiler.count_documents({}) == 20
    done = command("trace", "export", ID, "--connection-string", server.url)
    assert len(done.stdout.splitlines()) == 20


def test_documents_that_the_server_refuses(server, database, command):
    """They are lost and counted, and their trace says so. The others are stored, also one that was there already."""
    codes = {}

    def answer(asked):
        if "insert" not in asked:
            return None
        documents = asked["documents"]
        for document in documents:
            # The first two are refused, also when they come again as text; the third is there already.
            codes.setdefault(document["_id"], 121 if len(codes) < 2 else 11000 if len(codes) == 2 else 0)
        taken = [document for document in documents if codes[document["_id"]] != 121]
        if taken:
            database.profiler.insert_many(taken)
        errors = [
            {"index": index, "code": codes[document["_id"]], "errmsg": "no"}
            for index, document in enumerate(documents)
            if codes[document["_id"]]
        ]
        return {"ok": 1.0, "n": len(documents) - len(errors), "writeErrors": errors}

    with Proxy(server.port, answer) as proxy:
        service = Service(proxy.url)
        service.record(ID, 10)
        counters = service.flush()
        service.end()
    assert (counters["stored"], counters["lost"]) == (18, 2)
    losses = list(database.profiler_lost.find({}))
    assert {(loss["base_id"], loss["reason"]) for loss in losses} == {(ID, "refused")}
    assert sum(loss["count"] for loss in losses) == 2
    assert "2" in command("trace", "show", ID, "--connection-string", server.url).stdout


def test_forked_children_and_their_parent(server, database):
    """Each has a connection of its own, and ids of its own: nothing is taken for something else."""
    program = f"""
import os, sys
from osprofiler import _native, notifier, profiler
notifier.set(notifier.create(sys.argv[1], project="p", service="s", host="h"))

def record():
    profiler.init("key", "{ID}")
    for _ in range(20):
        with profiler.Trace("x"):
            pass
    profiler.clean()

record()
_native.flush(60)
children = []
for _ in range(4):
    record()
    child = os.fork()
    if not child:
        record()
        os._exit(_native.flush(60)["stored"] != 40)
    children.append(child)
record()
ends = [os.waitpid(child, 0)[1] for child in children]
print(ends, _native.flush(60)["stored"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, server.url], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == "[0, 0, 0, 0] 240\n", done.stderr
    assert database.profiler.count_documents({}) == 240 + 4 * 40


# What a client is told, and says.


def test_indexes_and_expiry(server, database):
    """Both are the first writer's to make; expiry is by a date in each document."""
    made = {"ok": 1.0}

    def answer(asked):
        return made if "createIndexes" in asked and "expireAfterSeconds" in asked["indexes"][0] else None

    with Proxy(server.port, answer) as proxy:
        service = Service(f"{proxy.url}/?ttl=7d")
        service.record(ID, 1)
        assert service.flush()["stored"] == 2
        service.end()
    indexes = [asked["indexes"][0] for asked in proxy.named("createIndexes")]
    assert [list(index["key"]) for index in indexes] == [["base_id", "timestamp"], ["timestamp"], ["expire_at"]]
    assert indexes[-1]["expireAfterSeconds"] == 0
    existing = database.profiler.index_information().values()
    assert [("base_id", 1), ("timestamp", 1)] in [index["key"] for index in existing]
    inserts = proxy.named("insert")
    assert not any(insert["ordered"] for insert in inserts)
    for document in (document for insert in inserts for document in insert["documents"]):
        left = document["expire_at"].replace(tzinfo=UTC) - datetime.now(UTC)
        assert timedelta(days=6) < left <= timedelta(days=7)


def test_a_list_looks_at_one_key_a_trace(server, command):
    """Where the server knows how; FerretDB does not."""
    batch = [{"_id": "B", "timestamp": "2026-01-01T00:00:01.000000"}, {"_id": None, "timestamp": None}]
    reply = {"ok": 1.0, "cursor": {"id": bson.Int64(0), "ns": "osprofiler.profiler", "firstBatch": batch}}
    with Proxy(server.port, answering("aggregate", answer=reply)) as proxy:
        done = command("trace", "list", "--connection-string", proxy.url)
    assert "| B " in done.stdout
    (aggregate,) = proxy.named("aggregate")
    assert aggregate["allowDiskUse"] is True
    assert aggregate["pipeline"] == [
        {"$sort": {"base_id": 1, "timestamp": 1}},
        {"$group": {"_id": "$base_id", "timestamp": {"$first": "$timestamp"}}},
    ]
    assert not proxy.named("find")


def test_an_unacknowledged_write_is_acknowledged(server, database):
    """Otherwise nobody could count what was stored."""
    with Proxy(server.port) as proxy:
        service = Service(f"{proxy.url}/?w=0")
        service.record(ID, 1)
        assert service.flush()["stored"] == 2
        service.end()
    assert {insert["writeConcern"]["w"] for insert in proxy.named("insert")} == {1}


def test_a_replica_sets_primary_is_found_and_written_to(server, database, command):
    """From a secondary; after the primary has stepped down, the other one."""
    proxies = []
    primary = [1]

    def alter(number):
        def greeting(reply):
            addresses = [proxy.address for proxy in proxies]
            leads = primary[0] == number
            reply.pop("ismaster", None)
            reply |= {"setName": "rs0", "setVersion": 1, "hosts": addresses, "me": addresses[number]}
            reply |= {"isWritablePrimary": leads, "ismaster": leads, "secondary": not leads}
            reply |= {"primary": addresses[primary[0]]}

        return greeting

    def answer(number):
        no_primary = refusal(10107, "not primary")
        return lambda asked: no_primary if "insert" in asked and primary[0] != number else None

    with contextlib.ExitStack() as running:
        proxies.extend(Proxy(server.port, answer(number), alter(number)) for number in (0, 1))
        for proxy in proxies:
            running.enter_context(proxy)
        service = Service(f"mongodb://{proxies[0].address}/?replicaSet=rs0&heartbeatFrequencyMS=500")
        service.record(ID, 1)
        assert service.flush()["stored"] == 2
        assert [bool(proxy.named("insert")) for proxy in proxies] == [False, True]
        primary[0] = 0
        service.record(ID, 1)
        assert service.flush()["stored"] == 4
        assert proxies[0].named("insert")
        service.end()
        words = told(command, f"mongodb://{proxies[0].address}/?replicaSet=other&connect_timeout=0.5")
        assert "mongodb://" in words
    assert database.profiler.count_documents({}) == 4


def test_servers_found_by_a_name(tmp_path):
    """`mongodb+srv`, with a name server of the test's own, where the loopback is the whole network."""
    records = {
        "_mongodb._tcp.traces.example.test SRV": [[0, 0, 27017, "a.example.test"]],
        "traces.example.test TXT": ["authSource=users"],
        "a.example.test A": ["127.0.0.1"],
    }
    program = """
import subprocess, sys
from pathlib import Path
from servers.ferretdb import FerretDB
with FerretDB(Path(sys.argv[1]), port=27017):
    sys.exit(subprocess.run(sys.argv[2:], check=False).returncode)
"""
    world = ["unshare", "--net", "--mount", sys.executable, NAMES, json.dumps(records)]
    osprofiler = [os.environ["OSPROFILER_BIN"], "trace", "list", "--connection-string"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    def look(url):
        return subprocess.run(
            [*world, sys.executable, "-c", program, tmp_path, *osprofiler, url],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    done = look("mongodb+srv://traces.example.test/?tls=false")
    assert done.returncode == 0, done.stderr + " (as root?)"
    assert "base_id" in done.stdout
    done = look("mongodb+srv://gone.example.test/?tls=false")
    assert done.returncode != 0
    assert "mongodb+srv://gone.example.test" in done.stderr
    assert "_mongodb._tcp.gone.example.test" in done.stderr
