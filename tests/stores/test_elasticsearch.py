# SPDX-License-Identifier: Apache-2.0
"""Elasticsearch: upstream's indexes read and written, lists, expiry, what a server refuses, odd values and junk.

OpenSearch is the server. What it cannot be brought to do, a front before it does.
"""

import json
import re
import urllib.error
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from asked import ID, lines_of, notification, show
from either import LIST, REPORT, WRITE, ours, recorded
from recording import Service

from house.waiting import wait_until
from servers.opensearch import OpenSearch
from servers.opensearch_stores import Front

PAGE = Path(__file__).parents[2] / "docs" / "stores" / "elasticsearch.md"
INDEX = "osprofiler-notifications"
INDEXES = (INDEX, f"{INDEX}-error", f"{INDEX}-lost")
NUMBERS = count(1)
SECONDS = 120
POINTS_A_SERVICE = 25
# Servers of this time know no types of documents: upstream writes with the one name that stands for none, and reads
# without any.
UNTYPED = """
from osprofiler import opts
from oslo_config import cfg
cfg.CONF.set_override("es_doc_type", "{}", group="profiler")
"""
WRITE_THEIRS = UNTYPED.format("_doc") + WRITE
REPORT_THEIRS = UNTYPED.format("") + REPORT


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return a running server."""
    with OpenSearch(tmp_path_factory.mktemp("opensearch")) as server:
        # Upstream's client understands this scheme only.
        server.url = f"elasticsearch://{server.address}"
        yield server


@pytest.fixture
def empty(server):
    """Return the server without indexes and templates of ours."""
    for path in (f"/{INDEX}*", f"/_index_template/{INDEX}*", "/_index_template/others"):
        with suppress(urllib.error.HTTPError):  # there is none
            server.ask("DELETE", path)
    assert server.ask("GET", f"/{INDEX}*/_count")["count"] == 0
    return server


@pytest.fixture
def front(empty):
    """Return what stands before the empty server."""
    with Front(empty.port) as front:
        front.url = f"elasticsearch://127.0.0.1:{front.port}"
        yield front


def exported(command, url, base_id=ID):
    """Return the notifications of a trace, in the order in which they are read."""
    done = command("trace", "export", base_id, "--connection-string", url)
    lines = map(json.loads, done.stdout.splitlines())
    return [line for line in lines if "name" in line]


def listed(url, *arguments):
    """Return the traces that our Python driver lists, and their times; each is there once."""
    traces = json.loads(ours(LIST, url, *arguments))
    found = {trace["base_id"]: trace["timestamp"] for trace in traces}
    assert len(found) == len(traces)
    return found


def by_id(report):
    """Return a report with siblings in the order of their ids: upstream asks for no order."""
    waiting = [report]
    while waiting:
        children = waiting.pop()["children"]
        children.sort(key=lambda node: node["trace_id"])
        waiting += children
    report["stats"] = dict(sorted(report["stats"].items()))
    return report


def some_of(name):
    """Return the id of a recorded trace, and as much of it as upstream stores soon: some points, and errors."""
    base_id, lines = recorded(name)
    points = {}
    for line in lines.splitlines(keepends=True):
        event = json.loads(line)
        points.setdefault(event["service"], {}).setdefault(event["trace_id"], []).append(line)
    chosen = [
        line
        for of_service in points.values()
        for number, of_point in enumerate(of_service.values())
        if number < POINTS_A_SERVICE or '"etype"' in of_point[-1]
        for line in of_point
    ]
    return base_id, "".join(sorted(chosen, key=lines.index))


def theirs(upstream, server, base_id=ID):
    """Return the report that upstream makes of a trace."""
    server.ask("POST", f"/{INDEX}/_refresh")
    return json.loads(upstream(REPORT_THEIRS, server.url, base_id))


def add(server, *documents, index=INDEX):
    """Put documents into an index as they are."""
    body = "".join(f'{{"index": {{}}}}\n{json.dumps(document)}\n' for document in documents)
    answer = server.ask("POST", f"/{index}/_bulk?refresh=true", body)
    assert not answer["errors"], answer


def documents(server, index=INDEX):
    """Return what is stored in an index, as it is found."""
    server.ask("POST", f"/{index}/_refresh")
    return server.ask("GET", f"/{index}/_search?size=10000")["hits"]["hits"]


# Upstream and we read what the other wrote.


@pytest.mark.parametrize("name", ["server-stop-error", "token-issue"])
def test_what_upstream_wrote_is_read(empty, upstream, command, name):
    """A recorded trace in an index that the server made by itself; the reports are equal."""
    base_id, lines = some_of(name)
    upstream(WRITE_THEIRS, empty.url, "errors", lines=lines)
    report = theirs(upstream, empty, base_id)
    assert report["children"]
    assert by_id(show(command, empty.url, base_id)) == by_id(report)
    assert list(listed(empty.url)) == [base_id]
    assert list(listed(empty.url, "errors")) == ([base_id] if "error" in name else [])


@pytest.mark.parametrize("name", ["server-stop-error", "token-issue"])
def test_what_we_write_upstream_reads(empty, upstream, command, name):
    """Member for member what upstream writes, and the report is the same from both."""
    base_id, lines = some_of(name)
    ours(WRITE, empty.url, "errors", lines=lines)
    assert by_id(show(command, empty.url, base_id)) == by_id(theirs(upstream, empty, base_id))
    stored = [json.dumps(document["_source"]) for document in documents(empty)]
    assert sorted(stored) == sorted(lines.splitlines())
    first = json.loads(lines.splitlines()[0])["timestamp"]
    assert listed(empty.url) == {base_id: first}
    if "error" in name:
        errors = documents(empty, f"{INDEX}-error")
        assert {error["_source"]["base_id"] for error in errors} == {base_id}
        assert listed(empty.url, "errors") == {base_id: min(error["_source"]["timestamp"] for error in errors)}
    else:
        assert listed(empty.url, "errors") == {}


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_services_of_both_share_a_trace(empty, upstream, command, first):
    """While a cloud is upgraded: in an index that we have made, and in one of upstream's."""
    base_id, lines = some_of("image-list")
    by_service = {}
    for line in lines.splitlines(keepends=True):
        by_service.setdefault(json.loads(line)["service"], []).append(line)
    assert len(by_service) > 1
    one, *others = by_service.values()
    writers = [
        (lambda: upstream(WRITE_THEIRS, empty.url, "errors", lines="".join(one)), "theirs"),
        (lambda: ours(WRITE, empty.url, "errors", lines="".join(line for other in others for line in other)), "ours"),
    ]
    for write, _ in sorted(writers, key=lambda writer: writer[1] != first):
        write()
    report = show(command, empty.url, base_id)
    assert by_id(report) == by_id(theirs(upstream, empty, base_id))
    assert list(listed(empty.url)) == [base_id]


def test_ids_are_kept_as_they_are_and_infos_unlooked_into(empty):
    """The template is made once, and the indexes from it."""
    ours(WRITE, empty.url, lines=lines_of(notification(info={"host": "h", "a": {"b": 1}})))
    mapping = empty.ask("GET", f"/{INDEX}/_mapping")[INDEX]["mappings"]
    assert mapping["properties"]["base_id"]["type"] == "keyword"
    assert mapping["properties"]["timestamp"]["type"] == "date"
    assert mapping["properties"]["info"] == {"type": "object", "enabled": False}
    (template,) = empty.ask("GET", f"/_index_template/{INDEX}")["index_templates"]
    assert template["index_template"]["index_patterns"] == list(INDEXES)


# Templates and rights.


def test_a_template_of_ours_that_is_older_is_replaced_and_a_newer_one_stays(empty):
    """By its version."""
    for version, kept in ((0, "keyword"), (99, None)):
        body = {"index_patterns": [INDEX], "version": version, "priority": 100, "template": {}}
        empty.ask("PUT", f"/_index_template/{INDEX}", body)
        ours(WRITE, empty.url, lines=lines_of(notification()))
        (template,) = empty.ask("GET", f"/_index_template/{INDEX}")["index_templates"]
        mappings = template["index_template"]["template"].get("mappings", {})
        assert mappings.get("properties", {}).get("base_id", {}).get("type") == kept


def test_an_administrators_own_template_decides(empty, command):
    """One for the same indexes and as important."""
    body = {"index_patterns": [f"{INDEX}*"], "priority": 100, "template": {"settings": {"number_of_replicas": 0}}}
    empty.ask("PUT", "/_index_template/others", body)
    ours(WRITE, empty.url, lines=lines_of(notification()))
    settings = empty.ask("GET", f"/{INDEX}/_settings")[INDEX]["settings"]["index"]
    assert settings["number_of_replicas"] == "0"
    assert len(exported(command, empty.url)) == 1
    assert list(listed(empty.url)) == [ID]


def test_a_user_who_may_make_no_template_makes_the_indexes(front, empty):
    """With the same mappings."""

    def refuse(_method, path, _body, _node):
        if "_index_template" in path:
            return 403, {"error": {"type": "security_exception", "reason": "no permissions"}, "status": 403}
        return None

    front.answer = refuse
    ours(WRITE, front.url, lines=lines_of(notification()))
    assert set(empty.ask("GET", f"/{INDEX}*/_mapping")) == set(INDEXES)
    mapping = empty.ask("GET", f"/{INDEX}/_mapping")[INDEX]["mappings"]
    assert mapping["properties"]["base_id"]["type"] == "keyword"


# Lists, and ids that have words in common.


def test_every_trace_is_listed_once_at_its_first_notification(empty, upstream):
    """D-09: not once for each of its notifications; upstream's beside ours."""
    lines = lines_of(*(notification(second=second, base_id="ours") for second in (3, 2, 4)))
    upstream(WRITE_THEIRS, empty.url, lines=lines_of(notification(second=5, base_id="theirs")))
    ours(WRITE, empty.url, lines=lines)
    moments = {"ours": "2026-01-01T00:00:02.000000", "theirs": "2026-01-01T00:00:05.000000"}
    assert listed(empty.url) == moments


def test_more_traces_than_an_answer_has_are_listed(empty):
    """A thousand an answer."""
    ours(WRITE, empty.url, lines=lines_of(*(notification(base_id=f"trace {number}") for number in range(2100))))
    assert len(listed(empty.url)) == 2100


@pytest.mark.parametrize("writer", ["ours", "theirs"])
def test_ids_that_have_words_in_common_are_different_traces(empty, upstream, command, writer):
    """Upstream's index takes ids apart into words: reading and removing one takes no other along."""
    names = ["a", "a-1", "a-2", "b"]
    lines = lines_of(*(notification(base_id=name) for name in names))
    if writer == "ours":
        ours(WRITE, empty.url, lines=lines)
    else:
        upstream(WRITE_THEIRS, empty.url, lines=lines)
    assert list(listed(empty.url)) == names
    for name in names:
        assert [line["base_id"] for line in exported(command, empty.url, name)] == [name]
    done = command("trace", "prune", "a", "--yes", "--connection-string", empty.url)
    assert done.returncode == 0, done.stderr
    assert list(listed(empty.url)) == names[1:]


def test_fields_of_the_first_notification_are_listed(empty):
    """As Horizon asks for them."""
    ours(WRITE, empty.url, lines=lines_of(notification(info={"host": "h", "request": {"path": "/v3"}})))
    text = (
        "import sys; from osprofiler.drivers import base;"
        "print(base.get_driver(sys.argv[1]).list_traces(['info.request.path']))"
    )
    expected = {"base_id": ID, "timestamp": "2026-01-01T00:00:01.000000", "info": {"request": {"path": "/v3"}}}
    assert eval(ours(text, empty.url)) == [expected]


def test_another_index_is_another_store(empty):
    """The option, and upstream's argument for it."""
    ours(WRITE, f"{empty.url}/?index={INDEX}-2", lines=lines_of(notification()))
    assert listed(empty.url) == {}
    text = (
        "import sys; from osprofiler.drivers import base;"
        f"print(len(base.get_driver(sys.argv[1], index_name='{INDEX}-2').list_traces()))"
    )
    assert ours(text, empty.url).strip() == "1"


# Removal and expiry.


def test_a_trace_of_more_documents_than_a_request_removes(empty, command):
    """It goes whole, and its errors and losses with it."""
    error = notification("db-stop", info={"host": "h", "etype": "ValueError"})
    add(empty, *(notification() for _ in range(6000)), error, notification(base_id="other"))
    ours(WRITE, empty.url, lines=lines_of(error))
    add(empty, {"base_id": ID, "reason": "exit", "count": 3}, index=f"{INDEX}-lost")
    assert list(listed(empty.url, "errors")) == [ID]
    done = command("trace", "prune", ID, "--yes", "--connection-string", empty.url)
    assert done.returncode == 0, done.stderr
    assert {document["_source"]["base_id"] for index in INDEXES for document in documents(empty, index)} == {"other"}


def test_old_traces_expire(empty):
    """By whoever writes, a bounded number a request that leaves nothing of its own; what is new stays."""
    error = {"host": "h", "etype": "ValueError"}
    ours(WRITE, empty.url, lines=lines_of(notification("db-stop", info=error)))
    assert list(listed(empty.url, "errors")) == [ID]
    with Service(f"{empty.url}/?ttl=60s") as service:

        def expired():
            service.record("new", 1)
            service.flush()
            return list(listed(empty.url)) == ["new"] and listed(empty.url, "errors") == {}

        wait_until(expired, "the old trace and its error to expire", SECONDS)
    names = [index["index"] for index in empty.ask("GET", "/_cat/indices?format=json&expand_wildcards=all")]
    assert sorted(name for name in names if name != INDEXES[2]) == sorted(INDEXES[:2])


# Values.

ODD = {
    "big": 2**70,
    "surrogate": "\ud800",
    "é": ["ключ", "\0"],
    "a.b": {"$c": [[], {}]},
}


def test_odd_values_come_back(empty, upstream, command):
    """As the JSON that upstream writes, and reads."""
    info = {"host": "h"} | ODD
    ours(WRITE, empty.url, lines=lines_of(notification(info=info)))
    for report in (show(command, empty.url), theirs(upstream, empty)):
        (point,) = report["children"]
        assert repr(point["info"]["meta.raw_payload.db-start"]["info"]) == repr(info)


def test_what_a_server_refuses_comes_back_and_keeps_its_place(empty, upstream, command):
    """`NaN` is no JSON of its; upstream's reader sees the outline."""
    info = {"host": "h", "nan": float("nan")} | ODD
    odd, plain = notification(trace_id="odd", info=info), notification(trace_id="plain")
    ours(WRITE, empty.url, lines=lines_of(odd, plain))
    found = exported(command, empty.url)
    assert [line["trace_id"] for line in found] == ["odd", "plain"]
    assert repr(found[0]["info"]) == repr(info)
    (point, _) = by_id(theirs(upstream, empty))["children"]
    payload = point["info"]["meta.raw_payload.db-start"]
    assert payload["info"] == {key: info[key] for key in ("host", "big", "surrogate")}
    assert repr(json.loads(payload["info_json"])) == repr(info)


def test_services_that_disagree_about_a_value_lose_nothing(empty, upstream, command):
    """Upstream's index takes the first one's type for a member, and refuses the other's."""
    infos = [{"host": "h", "a": 1}, {"host": "h", "a": {"b": 2}}, {"host": "h", "a": [3]}]
    first, *others = (notification(info=info) for info in infos)
    upstream(WRITE_THEIRS, empty.url, lines=lines_of(first))
    ours(WRITE, empty.url, lines=lines_of(*others))
    assert [line["info"] for line in exported(command, empty.url)] == infos


def test_what_is_refused_for_good_is_counted_and_the_others_stored(empty, command):
    """An index in which a service is a number."""
    mappings = {"dynamic": False, "properties": {"base_id": {"type": "keyword"}, "project": {"type": "integer"}}}
    empty.ask("PUT", f"/{INDEX}", {"mappings": mappings})
    ours_text = """
import sys
from osprofiler import _native
from osprofiler.drivers import base
info = {"name": "x-start", "parent_id": "1", "timestamp": "2026-01-01T00:00:01.000000", "info": {"host": "h"}}
for project, base_id in (("7", "good"), ("p", "bad")):
    driver = base.get_driver(sys.argv[1], project=project, service="s", host="h")
    for number in range(3):
        driver.notify(info | {"base_id": base_id, "trace_id": str(number)})
counters = _native.flush(60)
print(counters["stored"], counters["lost"])
"""
    assert ours(ours_text, empty.url).split() == ["3", "3"]
    assert len(exported(command, empty.url, "good")) == 3
    assert exported(command, empty.url, "bad") == []
    losses = [document["_source"] for document in documents(empty, f"{INDEX}-lost")]
    assert {(loss["base_id"], loss["reason"]) for loss in losses} == {("bad", "refused")}
    assert sum(loss["count"] for loss in losses) == 3


# Size.


def test_answers_are_asked_for_in_pages(front, command):
    """Each is as large as memory can take, however many and large the notifications are."""
    large = "x" * 1_000_000
    for _ in range(10):
        add_through(
            front, [notification(trace_id=f"{next(NUMBERS):09}", info={"host": "h", "x": large}) for _ in range(8)]
        )
    add_through(front, [notification(trace_id=f"{next(NUMBERS):09}") for _ in range(2500)])
    front.requests.clear()
    found = [line["trace_id"] for line in exported(command, front.url)]
    assert len(found) == 2580
    assert found == sorted(found)
    asked = [path for _, path in front.requests if path.startswith(f"/{INDEX}/_search")]
    assert len(asked) > 4


def add_through(front, notifications):
    body = "".join(f'{{"index": {{}}}}\n{json.dumps(one)}\n' for one in notifications).encode()
    status, _, data = front.handle("POST", f"/{INDEX}/_bulk", {"content-type": "application/x-ndjson"}, body)
    assert (status, json.loads(data)["errors"]) == (200, False)


def test_a_document_that_is_too_large_to_be_read_is_passed_over(front, command):
    """Another application's, for we write none; it is counted."""
    add_through(front, [notification(trace_id=name) for name in "abc"])

    def enlarge(_method, path, body, node):
        if path.startswith(f"/{INDEX}/_search"):
            asked = json.loads(body)
            status, _, data = node()
            if asked["_source"] and b'"trace_id": "b"' in data:
                return status, data.decode() + " " * (65 << 20)
        return None

    front.answer = enlarge
    done = command("trace", "export", ID, "--connection-string", front.url)
    assert [json.loads(line)["trace_id"] for line in done.stdout.splitlines()] == ["a", "c"]
    assert done.stderr.endswith(": 1\n"), done.stderr


def test_a_server_that_takes_little_at_a_time_gets_little(front, command):
    """413: the request is halved, and what is too large alone is cut to its outline."""

    def refuse(_method, path, body, _node):
        return (413, "") if "_bulk" in path and len(body) > 100_000 else None

    front.answer = refuse
    many = [notification(trace_id=str(number), info={"host": "h", "x": "x" * 500}) for number in range(1000)]
    large = notification(trace_id="large", info={"host": "h", "x": "x" * 200_000})
    ours(WRITE, front.url, lines=lines_of(*many, large))
    found = exported(command, front.url)
    assert [line["trace_id"] for line in found] == [*map(str, range(1000)), "large"]
    assert found[-1]["info"] == {"host": "h"}
    assert found[0]["info"] == many[0]["info"]


# What is written again.


def test_what_is_written_again_after_an_unclear_answer_is_stored_once(front, empty, command):
    """The server has taken a batch, an error and a loss, and the answers do not come."""
    lost = set()

    def lose(_method, path, _body, node):
        index = path.split("/")[1]
        if "_bulk" in path and index not in lost:
            lost.add(index)
            assert node()[0] == 200
            return 503, {"error": {"type": "x", "reason": "y"}, "status": 503}
        return None

    front.answer = lose
    with Service(front.url) as service:
        service.record(ID, 50)
        assert service.flush()["stored"] == 100
    error = {"host": "h", "etype": "ValueError"}
    ours(WRITE, front.url, lines=lines_of(notification("db-stop", base_id="error", info=error)))
    assert lost == {INDEX, f"{INDEX}-error"}
    # In this order: the first has the index show what it holds.
    assert len(documents(empty)) == empty.ask("GET", f"/{INDEX}/_count")["count"] == 101
    assert len(documents(empty, f"{INDEX}-error")) == 1
    assert len(exported(command, front.url)) == 100


def test_documents_that_one_server_had_no_time_for_are_sent_again(front, empty, command):
    """429 for some of a request: the others are stored already, and all keep their order."""
    busy = []

    def answer(_method, path, _body, node):
        if not path.startswith(f"/{INDEX}/_bulk") or busy:
            return None
        busy.append(path)
        # Only now and then one of them is stored.
        lines = _body.decode().splitlines(keepends=True)
        some = "".join(lines[place] + lines[place + 1] for place in range(0, len(lines), 6))
        empty.ask("POST", path, some)
        items = [
            {
                "create": {"status": 201}
                if place % 3 == 0
                else {"status": 429, "error": {"type": "es_rejected", "reason": "queue"}}
            }
            for place in range(len(lines) // 2)
        ]
        return 200, {"items": items}

    front.answer = answer
    names = [str(number) for number in range(90)]
    ours(WRITE, front.url, lines=lines_of(*(notification(trace_id=name) for name in names)))
    assert busy
    assert [line["trace_id"] for line in exported(command, front.url)] == names
    assert len(documents(empty)) == 90


# Junk.


def test_junk_is_skipped_and_counted(empty, command):
    """Half notifications, documents of no trace, losses that are none; another trace's are not counted."""
    ours(
        WRITE,
        empty.url,
        lines=lines_of(notification("db-start", 1, trace_id="1"), notification("db-stop", 2, trace_id="1")),
    )
    half = notification()
    del half["info"]
    junk = [{"base_id": ID}, half, notification(info=[1]), notification(name=7), notification(trace_id="x" * 300)]
    junk += [notification(timestamp="2026-01-01"), notification(info={"x": "x" * 25_000_000})]
    add(empty, *junk, {"base_id": None}, {"another": "application's"}, {"base_id": "x" * 300})
    losses = [{"reason": "evicted", "count": 3}, {"reason": "nonsense", "count": 1}, {"reason": "exit"}]
    add(empty, *({"base_id": ID} | loss for loss in losses), index=f"{INDEX}-lost")
    done = command("trace", "show", ID, "--connection-string", empty.url)
    assert done.returncode == 0, done.stderr
    assert "db" in done.stdout
    assert f"{len(junk) + 2} " in done.stderr, done.stderr
    assert "3 " in done.stdout
    done = command("trace", "list", "--connection-string", empty.url)
    assert done.returncode == 0, done.stderr
    assert "3 " in done.stderr, done.stderr
    assert ID in done.stdout


def test_a_trace_whose_first_time_is_none_is_listed_by_its_others(empty):
    """Times of another form count as earlier or later, and are none."""
    add(empty, notification(timestamp="2025-12-31"), notification(second=9), notification(second=7))
    add(empty, notification(timestamp="2025-12-31", base_id="none"))
    assert listed(empty.url) == {ID: "2026-01-01T00:00:07.000000"}


# The page about it.


def blocks(kind):
    """Return the fenced blocks of that kind on the page, each as its lines."""
    page = PAGE.read_text(encoding="utf-8")
    return [block.splitlines() for block in re.findall(rf"^```{kind}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)]


def test_what_the_page_says_of_the_servers_own_interface(empty, command):
    """Each request that it shows has an answer, and each command."""
    error = {"host": "h", "etype": "ValueError"}
    ours(WRITE, empty.url, lines=lines_of(notification(), notification("db-stop", info=error)))
    listed(empty.url)
    (commands,) = blocks("sh")
    for line in commands:
        program, *words = line.replace("127.0.0.1:9200", empty.address).replace("ID", ID).split()
        assert program == "osprofiler"
        done = command(*(word.strip('"') for word in words))
        assert done.returncode == 0, done.stderr
    asked = 0
    for block in blocks("text"):
        requests = re.split(r"^(?=GET|POST|PUT)", "\n".join(block), flags=re.MULTILINE)
        for request in filter(None, requests):
            (method, path), _, body = request.split("\n", 1)[0].split(), None, request.partition("\n")[2]
            answer = empty.ask(method, path, json.loads(body.replace('"ID"', json.dumps(ID))) if body.strip() else None)
            assert "error" not in answer
            asked += 1
    assert asked >= 3
