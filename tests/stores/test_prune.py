# SPDX-License-Identifier: Apache-2.0
"""`osprofiler trace prune` on every server: old traces go from everywhere, and nothing else does.

The conformance suite says that a driver removes what it is told to; here the command decides, services record
meanwhile, and a client of the server's own sees what is left.
"""

import json
import os
import signal
import subprocess
from datetime import UTC, datetime

import pytest
from either import WRITE, ours
from prunable import SERVERS
from recording import Service

# Long ago by any clock.
OLD = "2020-01-01T00:00:{:02}.000000"
ERROR = {"host": "h", "etype": "ValueError"}


@pytest.fixture(scope="module", params=SERVERS)
def running(request, tmp_path_factory):
    """Return a running server, one of each kind."""
    with SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture
def store(running):
    """Return its store, without traces."""
    running.clear()
    return running


def now():
    """Return the time as a notification has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def point(base_id, start, stop, info=None, trace_id="t"):
    """Return a point's notifications, as lines."""
    common = {"base_id": base_id, "trace_id": trace_id, "parent_id": base_id}
    rest = {"info": info or {"host": "h"}, "project": "p", "service": "s"}
    events = [
        {"name": f"db-{kind}", **common, "timestamp": time, **rest} for kind, time in (("start", start), ("stop", stop))
    ]
    return "".join(json.dumps(event) + "\n" for event in events)


def prune(command, store, *arguments):
    """Return the ids of the traces that the command says went, and what else it says."""
    done = command("trace", "prune", *arguments, "--connection-string", store.url)
    assert done.returncode == 0, done.stderr
    return [line.split(" ", 1)[1] for line in done.stdout.splitlines()], done.stderr


def listed(command, store, *arguments):
    """Return the ids of the traces that are listed."""
    done = command("trace", "list", "--connection-string", store.url, *arguments)
    assert done.returncode == 0, done.stderr
    return [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")][1:]


def test_old_traces_go_and_nothing_else(store, command):
    """From lists and errors too; not one that began long ago and is still written, nor a stranger's data."""
    lines = point("old", OLD.format(1), OLD.format(2))
    lines += point("old and failed", OLD.format(3), OLD.format(4), ERROR)
    lines += point("long", OLD.format(0), now(), ERROR) + point("new", now(), now())
    ours(WRITE, store.url, lines=lines)
    gone, said = prune(command, store, "--older-than", "7d", "--dry-run")
    assert gone == ["old", "old and failed"]
    assert "would remove 2 traces" in said
    assert listed(command, store) == ["long", "old", "old and failed", "new"]
    gone, said = prune(command, store, "--older-than", "7d")
    assert gone == ["old", "old and failed"]
    assert "removed 2 traces" in said
    assert listed(command, store) == ["long", "new"]
    assert listed(command, store, "--error-trace") == ["long"]
    assert [store.remains(base_id) for base_id in gone] == [[], []]
    assert store.remains("long")
    assert store.strangers()
    gone, said = prune(command, store, "--older-than", "7d")
    assert (gone, "no trace in" in said) == ([], True)


def test_a_removal_that_was_broken_off_goes_on(store, command):
    """Killed in the middle: what it had printed is gone, the rest goes with the next one."""
    # Long ids: what one call removes is more than twice what the pipe holds.
    traces = [f"trace {number:04} {'x' * 200}" for number in range(800)]
    ours(WRITE, store.url, lines="".join(point(trace, OLD.format(1), OLD.format(2)) for trace in traces))
    # It prints what went; nobody reads on, so it waits there: the server has done the first call, and knows no other.
    words = ["trace", "prune", "--older-than", "7d", "--connection-string", store.url]
    with subprocess.Popen([os.environ["OSPROFILER_BIN"], *words], stdout=subprocess.PIPE, pipesize=4096) as process:
        first = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert first.split(b" ", 1)[1].decode().strip() == traces[0]
    left = listed(command, store)
    assert 0 < len(left) < len(traces)
    assert store.remains(traces[0]) == []
    gone, _ = prune(command, store, "--older-than", "7d")
    assert gone == left
    assert listed(command, store) == []
    assert store.strangers()


def test_a_service_records_on(store, command):
    """While traces go, by their ids too, it loses nothing."""
    with Service(store.url) as service:
        for turn in range(5):
            ours(WRITE, store.url, lines=point("goes", OLD.format(1), OLD.format(2)))
            service.record("stays", 50)
            gone, _ = prune(command, store, "goes") if turn % 2 else prune(command, store, "--older-than", "7d")
            assert gone == ["goes"]
            assert service.flush()["stored"] == 100 * (turn + 1)
    done = command("trace", "export", "stays", "--connection-string", store.url)
    assert len(done.stdout.splitlines()) == 500


# As upstream makes it in a database that compares texts as most do.
UPSTREAMS_TABLE = """
CREATE TABLE data (id INTEGER NOT NULL AUTO_INCREMENT PRIMARY KEY, timestamp VARCHAR(26), base_id VARCHAR(255),
parent_id VARCHAR(255), trace_id VARCHAR(255), project VARCHAR(255), host VARCHAR(255), service VARCHAR(255),
name VARCHAR(255), data JSON, INDEX ix_data_base_id (base_id)) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci
"""


@pytest.mark.parametrize("running", ["mysql"], indirect=True)
def test_a_trace_whose_id_is_equal_for_the_database_alone_stays(store, command):
    """Capitals and blanks make no difference to it; one of them is still written."""
    store.database.ask(UPSTREAMS_TABLE)
    old = point("abc", OLD.format(1), OLD.format(2))
    ours(WRITE, store.url, lines=old + point("ABC", OLD.format(1), now()) + point("abc ", OLD.format(1), OLD.format(2)))
    gone, _ = prune(command, store, "abc")
    assert gone == ["abc"]
    left = store.database.ask("SELECT DISTINCT CONCAT(HEX(base_id), '.') FROM data ORDER BY 1").split()
    assert left == ["414243.", "61626320."]


@pytest.mark.parametrize("url", ["messaging://u:s3cret@h/", "loginsight://u:s3cret@h"])
def test_a_store_that_lets_nothing_be_removed_is_named(command, url):
    """With what does it instead; nobody is asked for."""
    done = command("trace", "prune", "--older-than", "7d", "--connection-string", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"traces cannot be removed from `{url.replace('s3cret', '***')}`" in done.stderr
    assert ("`?ttl=7d`" in done.stderr) == url.startswith("messaging")
    assert "s3cret" not in done.stderr
