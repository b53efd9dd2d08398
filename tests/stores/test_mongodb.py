# SPDX-License-Identifier: Apache-2.0
"""MongoDB: upstream's layout read and written, odd values, faults, and what a client is told by servers of all kinds.

FerretDB is the server. What it cannot be (a replica set, a server that knows passwords or expires documents) a proxy
before it tells the client; then what counts is what the client says on the wire.
"""

import json
import os
import re
import subprocess
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pymongo
import pytest
from asked import ID, show
from either import LIST, REPORT, WRITE, ours, recorded

from servers.ferretdb import FerretDB

FIXTURES = Path(__file__).parents[2] / "fixtures"
PAGE = Path(__file__).parents[2] / "docs" / "stores" / "mongodb.md"
NUMBERS = count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return a running server."""
    with FerretDB(tmp_path_factory.mktemp("ferretdb")) as server:
        yield server


@pytest.fixture
def database(server):
    """Return upstream's database, empty, through Python's client."""
    with pymongo.MongoClient(server.url) as client:
        client.drop_database("osprofiler")
        yield client["osprofiler"]


def notification(info, name="db-start", second=1, **members):
    """Return a notification as upstream's driver stores it."""
    return {
        "name": name,
        "base_id": ID,
        "trace_id": str(next(NUMBERS)),
        "parent_id": ID,
        "timestamp": f"2026-01-01T00:00:{second:02}.000000",
        "info": {"host": "h"} | info,
        "project": "p",
        "service": "s",
    } | members


def info_of(report):
    """Return what the start of the only point carried."""
    (point,) = report["children"]
    return point["info"]["meta.raw_payload.db-start"]["info"]


# Upstream and we read what the other wrote.


def test_what_upstream_wrote_is_read(server, database, upstream, command):
    """A recorded trace with an error in it; the reports are equal."""
    base_id, lines = recorded("server-stop-error")
    upstream(WRITE, server.url, lines=lines)
    theirs = json.loads(upstream(REPORT, server.url, base_id))
    assert theirs["children"]
    assert show(command, server.url, base_id) == theirs
    assert ours(LIST, server.url) == upstream(LIST, server.url)


def test_what_we_write_upstream_reads(server, database, upstream, command):
    """Its members are those that upstream writes, in its order, and the report is the same from both."""
    base_id, lines = recorded("token-issue")
    ours(WRITE, server.url, lines=lines)
    assert show(command, server.url, base_id) == json.loads(upstream(REPORT, server.url, base_id))
    assert ours(LIST, server.url) == upstream(LIST, server.url)
    stored = [document | {"_id": None} for document in database.profiler.find()]
    expected = [{"_id": None} | json.loads(line) for line in lines.splitlines()]
    assert stored == expected
    assert [list(document) for document in stored] == [list(document) for document in expected]


def test_traces_with_errors_are_listed_by_both(server, database, upstream):
    """The first error counts; upstream's own driver fails at its first."""
    error = {"etype": "ValueError", "message": "x"}
    events = [notification(error, "db-stop", second) for second in (7, 3, 5)]
    events.append(notification({}, "db-stop", base_id="fine"))
    for event in events:
        ours(WRITE, server.url, lines=json.dumps(event))
    expected = [{"base_id": ID, "timestamp": "2026-01-01T00:00:03.000000"}]
    assert json.loads(ours(LIST, server.url, "errors")) == expected
    assert json.loads(upstream(LIST, server.url, "errors")) == expected


def test_another_database_is_named_as_with_upstream(server, database):
    """By the argument `db_name`, or by an option."""
    text = """
        import sys
        from osprofiler import _native
        from osprofiler.drivers import base
        driver = base.get_driver(sys.argv[1], db_name="other", project="p", service="s")
        driver.notify({"name": "x-start", "base_id": "B", "trace_id": "1"})
        assert _native.flush(60)["waiting"] == 0
        print(driver.list_traces()[0]["base_id"], base.get_driver(sys.argv[1]).list_traces())
    """
    assert ours(text, server.url) == "B []\n"
    assert json.loads(ours(LIST, f"{server.url}/?database=other"))[0]["base_id"] == "B"
    database.client.drop_database("other")


# Values.


def test_what_bson_cannot_hold_is_near_for_upstream_and_exact_for_us(server, database, upstream, command):
    """Also what only some servers of this protocol refuse, such as a key with a dot."""
    info = {
        "big": 2**64,
        "nan": float("nan"),
        "surrogate": "\ud800",
        "a.b": {"$c": 1, "\0": 2},
        "plain": [1, 2**40, 0.5, True, None, "é"],
    }
    ours(WRITE, server.url, lines=json.dumps(notification(info)))
    (stored,) = database.profiler.find()
    near = stored["info"]
    assert (near["big"], near["nan"], near["surrogate"]) == (str(2**64), "NaN", "\ufffd")
    assert near["a\uff0eb"] == {"\uff04c": 1, "\u2400": 2}
    assert near["plain"] == info["plain"]

    assert info_of(json.loads(upstream(REPORT, server.url, ID)))["plain"] == info["plain"]
    assert json.dumps(info_of(show(command, server.url))) == json.dumps({"host": "h"} | info)


def test_what_the_server_refuses_is_sent_again_as_text(server, database, command):
    """FerretDB refuses a batch for an array within an array; nothing of it is lost."""
    info = {"params": [[1, 2], [3, 4]], "etype": "E", "function": {"name": "f"}}
    ours(WRITE, server.url, lines=json.dumps(notification(info)))
    assert database.profiler.find_one()["info"] == {"host": "h", "etype": "E"}
    assert info_of(show(command, server.url)) == {"host": "h"} | info


def test_values_that_only_bson_has_become_text(server, database, command):
    """Upstream writes dates and bytes as BSON's own, and then cannot show them as JSON."""
    at = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
    database.profiler.insert_one(notification({"date": at, "bytes": b"\xff", "text": b"abc"}))
    assert info_of(show(command, server.url)) == {
        "host": "h",
        "date": "2026-01-02T03:04:05.678000",
        "bytes": "/w==",
        "text": "abc",
    }


def test_junk_is_skipped_and_counted(server, database, command):
    """Half notifications, other applications' documents, a value of 10 MB."""
    good = [notification({}, "db-start", 1, trace_id="1"), notification({}, "db-stop", 2, trace_id="1")]
    junk = [
        {},
        {"base_id": ID},
        {"base_id": 7, "x": [1, {"y": None}]},
        notification({}, timestamp="yesterday"),
        notification({}, timestamp=datetime.now(UTC)),
        notification({}, trace_id=5),
        notification({}, name=None),
        notification({}, project=["p"]),
        notification({}) | {"info": "text"},
        {"base_id": ID, "large": "x" * 10_000_000},
    ]
    database.profiler.insert_many([*junk, *good])
    database.profiler_lost.insert_many([{"base_id": ID, "count": -1, "reason": "exit"}, {"base_id": ID, "reason": 1}])
    done = command("trace", "show", ID, "--connection-string", server.url)
    assert done.returncode == 0, done.stderr
    assert "db" in done.stdout
    of_the_trace = sum(document.get("base_id") == ID for document in junk) + 2
    assert f"{of_the_trace} " in done.stderr, done.stderr
    done = command("trace", "list", "--connection-string", server.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2026-01-01T00:00:01.000000") == 1, done.stdout


# The page about this store.


def test_the_pages_commands_do_what_it_says(server, database, tmp_path):
    """As they are printed, but for the address and the id."""
    base_id, lines = recorded("token-issue")
    ours(WRITE, server.url, lines=lines)
    (commands,) = blocks("sh")
    text = commands.replace("127.0.0.1:27017", server.address).replace("ID", base_id)
    text = text.replace("osprofiler trace", f"{os.environ['OSPROFILER_BIN']} trace")
    done = subprocess.run(["sh", "-ec", text], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert base_id in done.stdout
    assert json.loads((tmp_path / "report.json").read_text())["stats"]["db"]["count"] == 132
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_the_pages_queries_find_what_it_says(server, database):
    """They are JSON within JavaScript, so Python's client takes them, too."""
    events = [notification({}), notification({"etype": "E", "message": "m"}, "db-stop", 2)]
    ours(WRITE, server.url, lines="\n".join(map(json.dumps, events)))
    found = []
    for query in blocks("js")[0].replace('"ID"', f'"{ID}"').splitlines():
        _, collection, *calls = re.findall(r"(?:^|\.)(\w+)", re.sub(r"\(.*?\)(?=\.|$)", "", query))
        arguments = iter(re.findall(r"\((.*?)\)(?=\.|$)", query))
        result = database[collection]
        for call in calls:
            given = json.loads(f"[{next(arguments)}]")
            # Its own client writes an order as a document, Python's older form of it is a list.
            result = getattr(result, call)(*[list(one.items()) if call == "sort" else one for one in given])
        found.append(list(result))
    trace, errors, services = found
    assert [event["name"] for event in trace] == ["db-start", "db-stop"]
    assert [event["info"] for event in errors] == [{"etype": "E", "message": "m"}]
    assert services == [{"_id": "s", "notifications": 2}]


def test_the_page_has_every_option(command):
    """Each in its row."""
    done = command("trace", "list", "--connection-string", "mongodb://h/?x=1")
    options = re.findall(r"`(\w+)`", done.stderr.splitlines()[-1])
    text = PAGE.read_text(encoding="utf-8").partition("\n## What is stored where")[0]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == options


def blocks(kind):
    """Return the page's blocks of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
