# SPDX-License-Identifier: Apache-2.0
"""Redis: upstream's layout read and written, lists, expiry, odd values and junk."""

import json
import re
from pathlib import Path

import pytest
import redis as client
from asked import ID, lines_of, notification, show
from either import LIST, REPORT, WRITE, ours, recorded
from recording import Service

from house.waiting import wait_until
from servers.redis import Redis

FIXTURES = Path(__file__).parents[2] / "fixtures"
SECONDS = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return a running server."""
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def database(server):
    """Return its database, empty, through Python's client."""
    with client.Redis.from_url(server.url, decode_responses=True) as database:
        database.flushall()
        yield database


def listed(server, *arguments):
    """Return the traces that our Python driver lists, and their times."""
    return {trace["base_id"]: trace["timestamp"] for trace in json.loads(ours(LIST, server.url, *arguments))}


def by_id(report):
    """Return a report with siblings in the order of their ids: upstream has those of one millisecond backwards."""
    waiting = [report]
    while waiting:
        children = waiting.pop()["children"]
        children.sort(key=lambda node: node["trace_id"])
        waiting += children
    report["stats"] = dict(sorted(report["stats"].items()))
    return report


# Upstream and we read what the other wrote.


@pytest.mark.parametrize("name", ["server-stop-error", "token-issue"])
def test_what_upstream_wrote_is_read(server, database, upstream, command, name):
    """A recorded trace; the reports are equal."""
    base_id, lines = recorded(name)
    upstream(WRITE, server.url, "errors", lines=lines)
    theirs = json.loads(upstream(REPORT, server.url, base_id))
    assert theirs["children"]
    assert by_id(show(command, server.url, base_id)) == by_id(theirs)
    assert list(listed(server)) == [base_id]


@pytest.mark.parametrize("name", ["server-stop-error", "token-issue"])
def test_what_we_write_upstream_reads(server, database, upstream, command, name):
    """Byte for byte what upstream writes, and the report is the same from both."""
    base_id, lines = recorded(name)
    ours(WRITE, server.url, "errors", lines=lines)
    assert by_id(show(command, server.url, base_id)) == by_id(json.loads(upstream(REPORT, server.url, base_id)))
    assert [trace["base_id"] for trace in json.loads(upstream(LIST, server.url))] == [base_id]
    stored = database.lrange(f"osprofiler_opt:{base_id}", 0, -1)
    assert sorted(stored) == sorted(lines.splitlines())
    errors = json.loads(upstream(LIST, server.url, "errors"))
    assert listed(server, "errors") == {trace["base_id"]: trace["timestamp"] for trace in errors}
    assert bool(errors) == (name == "server-stop-error")


def test_services_of_both_share_a_trace(server, database, upstream, command):
    """While a cloud is upgraded, one after the other."""
    base_id, lines = recorded("image-list")
    by_service = {}
    for line in lines.splitlines(keepends=True):
        by_service.setdefault(json.loads(line)["service"], []).append(line)
    assert len(by_service) > 1
    theirs, *others = by_service.values()
    upstream(WRITE, server.url, "errors", lines="".join(theirs))
    ours(WRITE, server.url, "errors", lines="".join(line for lines in others for line in lines))
    report = show(command, server.url, base_id)
    assert by_id(report) == by_id(json.loads(upstream(REPORT, server.url, base_id)))
    assert list(listed(server)) == [base_id]


def test_what_upstream_wrote_before_it_had_lists_is_read(server, database, command):
    """A key a notification; of ids that begin alike each has its own."""
    events = [notification("db-start", 2, trace_id="1"), notification("db-stop", 3, trace_id="1")]
    events.append(notification("db-start", 1, base_id=ID + "0"))
    for event in events:
        key = f"osprofiler:{event['base_id']}_{event['trace_id']}_{event['timestamp']}"
        database.set(key, json.dumps(event))
    (point,) = show(command, server.url)["children"]
    assert point["info"]["exception"] == "None"
    assert listed(server) == {ID: events[0]["timestamp"], ID + "0": events[2]["timestamp"]}


def test_a_pattern_in_an_id_finds_nobody_else(server, database, command):
    """Old keys are looked for by a pattern."""
    event = notification(base_id="abc")
    database.set(f"osprofiler:abc_{event['trace_id']}", json.dumps(event))
    done = command("trace", "show", "--json", "a*", "--connection-string", server.url)
    assert (done.returncode, done.stdout) == (1, "")


# The page about it.


def blocks(kind):
    """Return the fenced blocks of that kind on the page about Redis, each as its lines."""
    page = (FIXTURES.parent / "docs" / "stores" / "redis.md").read_text(encoding="utf-8")
    return [block.splitlines() for block in re.findall(rf"^```{kind}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)]


def test_what_the_page_says_of_the_stores_own_tools(server, database, command):
    """The user that it makes is enough to record and to read; each command that it shows has an answer."""
    address = server.url.removeprefix("redis://")
    acl, looks = blocks("text")
    assert database.execute_command(*acl[0].split()) == "OK"
    url = f"redis://osprofiler:PASSWORD@{address}/1"
    error = {"host": "h", "etype": "ValueError"}
    ours(WRITE, f"{url}?ttl=7d", "errors", lines=lines_of(notification(), notification("db-stop", info=error)))
    assert list(listed(server, "errors")) == []
    with client.Redis.from_url(f"{server.url}/1", decode_responses=True) as other:
        assert all(other.execute_command(*look.replace("ID", ID).split()) for look in looks[:-1])
        assert looks[-1].split()[0] == "HGETALL"
        assert other.execute_command("ACL", "DRYRUN", "osprofiler", "WAIT", "1", "1") == "OK"
    (commands,) = blocks("sh")
    for line in commands:
        program, *words = line.replace("127.0.0.1:6379", f"osprofiler:PASSWORD@{address}").replace("ID", ID).split()
        assert program == "osprofiler"
        done = command(*words)
        assert (done.returncode, bool(done.stdout)) == (0, True), done.stderr


# Lists.


def test_every_trace_is_listed_at_its_first_notification(server, database, upstream):
    """D-05: also one with a single notification, and upstream's beside ours."""
    ours(
        WRITE,
        server.url,
        "errors",
        lines=lines_of(*(notification(second=second, base_id="ours") for second in (3, 2, 4))),
    )
    upstream(WRITE, server.url, "errors", lines=lines_of(notification(second=5, base_id="theirs")))
    moments = {"ours": "2026-01-01T00:00:02.000000", "theirs": "2026-01-01T00:00:05.000000"}
    assert listed(server) == moments


def test_siblings_come_in_the_order_of_recording(server, database, command):
    """D-44: also those of one microsecond."""
    ours(WRITE, server.url, "errors", lines=lines_of(*(notification(trace_id=name) for name in "dabc")))
    assert [node["trace_id"] for node in show(command, server.url)["children"]] == list("dabc")


def test_errors_that_upstream_found_are_listed_beside_ours(server, database, upstream):
    """The earlier one of a trace counts where a trace has both."""
    error = {"host": "h", "etype": "ValueError", "message": "x"}
    ours(
        WRITE,
        server.url,
        "errors",
        lines=lines_of(notification("db-stop", 5, info=error), notification(base_id="fine")),
    )
    upstream(WRITE, server.url, "errors", lines=lines_of(notification("db-stop", 7, base_id="theirs", info=error)))
    upstream(WRITE, server.url, "errors", lines=lines_of(notification("db-stop", 3, base_id="fine", info=error)))
    assert {base_id: time[17:19] for base_id, time in listed(server, "errors").items()} == {
        ID: "05",
        "theirs": "07",
        "fine": "03",
    }


def commands_of(server, work):
    """Return the names of the commands that the server got while `work` went on."""
    before = statistics(server)
    work()
    return {name for name, calls in statistics(server).items() if calls != before.get(name)}


def statistics(server):
    with client.Redis.from_url(server.url) as database:
        return {name: of["calls"] for name, of in database.info("commandstats").items()}


def test_keys_are_looked_through_only_where_somebody_else_wrote(server, database, command):
    """Not for a report; for a list where there are keys that are not ours."""
    ours(
        WRITE, server.url, "errors", lines=lines_of(*(notification(base_id=f"trace {number}") for number in range(50)))
    )
    error = {"host": "h", "etype": "ValueError"}
    ours(WRITE, server.url, "errors", lines=lines_of(notification("db-stop", info=error)))
    assert "cmdstat_scan" not in commands_of(server, lambda: show(command, server.url))
    assert "cmdstat_scan" not in commands_of(server, lambda: listed(server))
    assert "cmdstat_scan" not in commands_of(server, lambda: listed(server, "errors"))
    database.set("another application's", "x")
    assert "cmdstat_scan" not in commands_of(server, lambda: show(command, server.url))
    assert "cmdstat_scan" in commands_of(server, lambda: listed(server))


def test_a_trace_that_was_deleted_is_not_listed(server, database):
    """As by upstream's users, who know its list only."""
    ours(WRITE, server.url, "errors", lines=lines_of(notification(base_id="a"), notification(base_id="b")))
    database.delete("osprofiler_opt:a")
    assert list(listed(server)) == ["b"]


def test_traces_expire_and_leave_the_index(server, database):
    """Each new notification keeps its trace; the index is cleared by those who write later."""
    url = f"{server.url}?ttl=900s"
    error = {"host": "h", "etype": "ValueError"}
    ours(WRITE, url, "errors", lines=lines_of(notification("db-stop", info=error)))
    for key in (f"osprofiler_opt:{ID}", f"osprofiler_error:{ID}"):
        assert 800 < database.ttl(key) <= 900
        database.pexpire(key, 1)
    wait_until(lambda: not database.exists(f"osprofiler_opt:{ID}"), "the trace to expire", SECONDS)
    assert listed(server) == {}
    assert listed(server, "errors") == {}
    assert database.zcard("osprofiler_traces") == 1
    ours(WRITE, url, "errors", lines=lines_of(*(notification(base_id=f"trace {number}") for number in range(2000))))
    assert database.zscore("osprofiler_traces", ID) is None
    assert database.zscore("osprofiler_errors", ID) is None
    assert len(listed(server)) == 2000


def test_fields_of_the_first_notification_are_listed(server, database):
    """As Horizon asks for them."""
    ours(WRITE, server.url, "errors", lines=lines_of(notification(info={"host": "h", "request": {"path": "/v3"}})))
    expected = {"base_id": ID, "timestamp": "2026-01-01T00:00:01.000000", "info": {"request": {"path": "/v3"}}}
    assert eval(ours(LIST_PATHS, server.url)) == [expected]


LIST_PATHS = """
import sys
from osprofiler.drivers import base
print(base.get_driver(sys.argv[1]).list_traces(["info.request.path"]))
"""


def test_fields_of_many_traces_are_asked_for_over_one_connection(server, database):
    def connections():
        return database.info("stats")["total_connections_received"]

    made = []
    for count in (1, 20):
        ids = [f"trace {number}" for number in range(count)]
        lines = (notification(base_id=base_id, info={"request": {"path": base_id}}) for base_id in ids)
        ours(WRITE, server.url, "errors", lines=lines_of(*lines))
        before = connections()
        assert {trace["info"]["request"]["path"] for trace in eval(ours(LIST_PATHS, server.url))} == set(ids)
        made.append(connections() - before)
    assert made[0] == made[1] > 0


# Values.


def test_odd_values_come_back(server, database, upstream, command):
    """As the JSON that upstream writes, and reads."""
    info = {"host": "h", "big": 2**70, "nan": float("nan"), "surrogate": "\ud800", "é": ["ключ", "\0"]}
    ours(WRITE, server.url, "errors", lines=lines_of(notification(info=info)))
    for report in (show(command, server.url), json.loads(upstream(REPORT, server.url, ID))):
        (point,) = report["children"]
        assert repr(point["info"]["meta.raw_payload.db-start"]["info"]) == repr(info)


def test_what_redis_cannot_hold_as_python_has_it_is_near(server, database, command):
    """Objects, bytes, cycles: upstream fails the request with some of them."""
    text = """
import sys
from osprofiler import _native, notifier, profiler
notifier.set(notifier.create(sys.argv[1], project="p", service="s", host="h"))
cycle = []
cycle.append(cycle)
profiler.init("key", sys.argv[2])
with profiler.Trace("x", info={"bytes": b"\\xff", "object": object(), "cycle": cycle, ("a", 1): {1: 2}}):
    pass
assert _native.flush(60)["lost"] == 0
"""
    ours(text, server.url, ID)
    (point,) = show(command, server.url)["children"]
    info = point["info"]["meta.raw_payload.x-start"]["info"]
    assert info["object"].startswith("<object object at ")


# Junk.


def test_junk_is_skipped_and_counted(server, database, command):
    """Binary, half notifications, other traces', 10 MB, keys of other types."""
    good = [notification("db-start", 1, trace_id="1"), notification("db-stop", 2, trace_id="1")]
    junk = [b"\0\xff", "", "{}", json.dumps(good[0])[:60], json.dumps(notification(base_id="other"))]
    junk += [json.dumps(notification(timestamp="yesterday")), json.dumps(notification(info={"x": "x" * 10_000_000}))]
    for element in [*junk, *map(json.dumps, good)]:
        database.lpush(f"osprofiler_opt:{ID}", element)
    database.hset(f"osprofiler_lost:{ID}", mapping={"exit:w": "-1", "nonsense:w": "1", "evicted:w": "3"})
    done = command("trace", "show", ID, "--connection-string", server.url)
    assert done.returncode == 0, done.stderr
    assert "db" in done.stdout
    assert f"{len(junk) + 2} " in done.stderr, done.stderr
    assert "3 " in done.stdout

    database.set("osprofiler_opt:text", "x")
    database.hset("osprofiler_opt:hash", "x", "y")
    database.set("osprofiler:x", "x")
    database.lpush("osprofiler_opt:junk alone", "x")
    database.set("osprofiler_traces", "x")
    database.lpush("osprofiler_error:list", "x")
    done = command("trace", "list", "--connection-string", server.url)
    assert done.returncode == 0, done.stderr
    assert "5 " in done.stderr, done.stderr
    done = command("trace", "show", "text", "--connection-string", server.url)
    assert done.returncode == 1


def test_what_somebody_put_into_the_index_is_passed_over(server, database):
    """Members that are no ids, times beyond all years, traces that are not there."""
    ours(WRITE, server.url, "errors", lines=lines_of(notification()))
    database.zadd("osprofiler_traces", {b"\xff": 1, "": 2, "x" * 300: 3, "gone": 4, "y": float("inf")})
    assert list(listed(server)) == [ID]


def test_an_id_whose_key_is_of_another_type_costs_its_batch_only(server, database, command):
    """It is counted as lost; what comes later is stored."""
    database.set(f"osprofiler_opt:{ID}", "x")
    with Service(server.url) as service:
        service.record(ID, 5)
        assert service.flush()["lost"] == 10
        service.record("other", 5)
        assert service.flush()["stored"] == 10
    assert "holds what somebody else put there" in service.log
