# SPDX-License-Identifier: Apache-2.0
"""Log Insight: upstream's events read and written, sessions, pages, junk, and what a person is told.

The server is a stand-in (tests/servers/loginsight.py): that the real one does the same, nothing here shows.
"""

import http.server
import json
import threading

import pytest
from asked import ID, lines_of, show
from either import LIST, REPORT, WRITE, ours, recorded

from house.waiting import free_port
from servers.loginsight import LOGIN, PASSWORD, USER, LogInsight, contents

# Upstream's connection strings name no ports: its client is given others by its own parameters.
AT_PORTS = """
import functools, sys
from osprofiler.drivers import loginsight
ports = dict(api_ssl_port=int(sys.argv.pop()), api_port=int(sys.argv.pop()))
loginsight.LogInsightClient = functools.partial(loginsight.LogInsightClient, **ports)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Return a running server."""
    with LogInsight(tmp_path_factory.mktemp("loginsight")) as running:
        yield running


@pytest.fixture
def server(running):
    """Return the server, empty."""
    running.events["127.0.0.1"].clear()
    running.requests.clear()
    running.say = lambda method, path, body: None
    return running


@pytest.fixture
def theirs(server, upstream):
    """Return a function that runs Python beside upstream's profiler, with its driver as the connection string's."""

    def run(text, *arguments, lines=""):
        url = f"loginsight://{LOGIN}@127.0.0.1"
        return upstream(AT_PORTS + text, url, *arguments, str(server.port), str(server.tls_port), lines=lines)

    return run


def notification(name="db-start", second=1, **members):
    """Return a notification of the one trace."""
    return {
        "name": name,
        "base_id": ID,
        "trace_id": "t",
        "parent_id": ID,
        "timestamp": f"2026-01-01T00:00:{second:02}.000000",
        "info": {"host": "h"},
        "project": "p",
        "service": "s",
    } | members


def told(command, url):
    """Return what the command says of a store that it cannot list."""
    done = command("trace", "list", "--connection-string", url)
    assert (done.returncode in (1, 2), done.stdout) == (True, "")
    assert PASSWORD not in done.stderr
    assert "s3cret" not in done.stderr
    return done.stderr


def by_id(report):
    """Return a report with siblings in the order of their ids: upstream has those of one millisecond in any."""
    waiting = [report]
    while waiting:
        children = waiting.pop()["children"]
        children.sort(key=lambda node: node["trace_id"])
        waiting += children
    report["stats"] = dict(sorted(report["stats"].items()))
    return report


# Upstream and we read what the other wrote.


@pytest.mark.parametrize("name", ["server-stop-error", "token-issue"])
def test_what_upstream_wrote_is_read(server, theirs, command, name):
    """A recorded trace; the reports are equal."""
    base_id, lines = recorded(name)
    theirs(WRITE, lines=lines)
    report = json.loads(theirs(REPORT, base_id))
    assert report["children"]
    assert by_id(show(command, server.url(), base_id)) == by_id(report)


@pytest.mark.parametrize("name", ["server-stop-error", "token-issue"])
def test_what_we_write_upstream_reads(server, theirs, command, name):
    """The same fields with the same contents as its own, and one more; the report is the same from both."""
    base_id, lines = recorded(name)
    ours(WRITE, server.url(), lines=lines)
    assert by_id(show(command, server.url(), base_id)) == by_id(json.loads(theirs(REPORT, base_id)))
    mine = [contents(event) for event in server.events["127.0.0.1"]]
    orders = [int(event.pop("order")) for event in mine]
    assert orders == sorted(set(orders))
    server.events["127.0.0.1"].clear()
    theirs(WRITE, lines=lines)
    upstreams = [contents(event) for event in server.events["127.0.0.1"]]
    for event in mine + upstreams:
        event["trace"] = json.loads(event["trace"])
    assert mine == upstreams
    assert {event["text"] for event in server.events["127.0.0.1"]} == {"OSProfiler trace"}


def test_what_was_lost_upstream_does_not_find(server, theirs, command):
    """It would not know what to make of it."""
    ours(WRITE, server.url(), lines=lines_of(notification(), notification("db-stop", 2)))
    lost = [{"name": "lost_base_id", "content": ID}]
    lost.append({"name": "lost", "content": json.dumps({"osprofiler_lost": 3, "reason": "exit", "base_id": ID})})
    server.events["127.0.0.1"].append({"timestamp": 1, "text": "OSProfiler loss", "fields": lost})
    assert json.loads(theirs(REPORT, ID))["stats"] == {"db": {"count": 1, "duration": 1000}}
    report = show(command, server.url())
    assert report["info"]["lost"] == 3


def test_traces_are_listed(server, command):
    """Upstream cannot; those with errors apart."""
    error = {"host": "h", "etype": "ValueError"}
    events = [notification(base_id="late", second=9), notification(base_id="early", second=5)]
    events += [notification("db-stop", 3, base_id="early", info=error), notification(base_id="early", second=2)]
    ours(WRITE, server.url(), lines=lines_of(*events))

    def listed(*arguments):
        traces = json.loads(ours(LIST, server.url(), *arguments))
        return {trace["base_id"]: trace["timestamp"][17:19] for trace in traces}

    assert listed() == {"early": "02", "late": "09"}
    assert listed("errors") == {"early": "03"}


# Requests.


def test_a_batch_is_few_requests(server, command):
    """As many events in each as the API takes; a busy machine makes a few batches of them."""
    sizes = []

    def measure(method, path, body):
        if "ingest" in path:
            sizes.append(len(json.loads(body)["events"]))

    server.say = measure
    ours(WRITE, server.url(), lines=lines_of(*(notification(trace_id=str(number)) for number in range(1300))))
    assert sum(sizes) == 1300
    assert max(sizes) <= 500
    assert len(sizes) < 130
    assert {path for method, path in server.requests} == {"/api/v1/events/ingest/F52D775B-6017-4787-8C8A-F21AE0AEC057"}


def test_events_go_over_tls_where_that_is_wanted(server, command):
    """To the port of the queries; the other one is not asked."""
    url = server.url("ingest_tls=true").replace(f"api_port={server.port}", f"api_port={free_port()}")
    ours(WRITE, url, lines=lines_of(notification()))
    assert len(server.events["127.0.0.1"]) == 1


def test_a_session_lasts(server, command):
    """One login for a report; its queries are those of upstream."""
    ours(WRITE, server.url(), lines=lines_of(notification()))
    server.requests.clear()
    show(command, server.url())
    logins = [path for method, path in server.requests if method == "POST"]
    assert logins == ["/api/v1/sessions"]
    queries = [path for method, path in server.requests if method == "GET"]
    encoded = ID.replace("-", "%2D")
    limits = "/timestamp/GT+0?limit=20000&timeout=60000"
    assert queries == [f"/api/v1/events/{name}/CONTAINS+{encoded}{limits}" for name in ("base_id", "lost_base_id")]


@pytest.mark.parametrize("end", ["end_sessions", "forget_sessions"])
def test_a_session_that_has_ended_is_made_anew(server, end):
    """Once, and the query goes on."""
    ours(WRITE, server.url(), lines=lines_of(notification(), notification("db-stop", 2)))
    server.requests.clear()
    # The driver keeps its session no longer than a call: between the two queries of a report the server ends it.
    queries = []

    def interfere(method, path, body):
        if method == "GET":
            queries.append(path)
            if len(queries) == 2:
                getattr(server, end)()

    server.say = interfere
    assert json.loads(ours(REPORT, server.url(), ID))["stats"]["db"]["count"] == 1
    assert len(queries) == 3
    assert [path for method, path in server.requests if method == "POST"] == ["/api/v1/sessions"] * 2


def test_a_server_that_knows_no_session_is_not_asked_for_ever(server, command):
    """It says so of each new one, too."""
    server.say = lambda method, path, body: (440, "Login Timeout") if method == "GET" else None
    assert "status 440" in told(command, server.url())
    assert len(server.requests) == 2


def test_a_trace_of_more_events_than_an_answer_holds(server, command):
    """Pages, from the newest to the oldest; what is on two of them counts once."""
    lines = [json.dumps(notification(trace_id=str(number))) for number in range(45_000)]
    events = server.events["127.0.0.1"]
    for number, trace in enumerate(lines):
        fields = [{"name": "base_id", "content": ID}, {"name": "trace", "content": trace}]
        fields.append({"name": "order", "content": str(number)})
        # Seven of a millisecond, as of a request.
        events.append({"timestamp": 1_000 + number // 7, "text": "OSProfiler trace", "fields": fields})
    done = command("trace", "export", ID, "--connection-string", server.url())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == lines
    assert len([path for method, path in server.requests if "/base_id/" in path]) == 3
    done = command("trace", "list", "--connection-string", server.url())
    assert (done.returncode, done.stderr, done.stdout.count(ID)) == (0, "", 1)


def test_an_answer_that_is_not_all_is_no_answer(server, command):
    """The server's own time was up."""
    server.say = lambda method, path, body: (200, {"complete": False, "events": []}) if method == "GET" else None
    words = told(command, server.url())
    assert "the server did not look at everything in time" in words
    assert "`socket_timeout=300`" in words


# Values and junk.


def test_odd_values_come_back(server, theirs, command):
    """As the JSON that upstream writes, and reads."""
    info = {"host": "h", "big": 2**70, "nan": float("nan"), "surrogate": "\ud800", "é": ["ключ", "\0"]}
    ours(WRITE, server.url(), lines=lines_of(notification(info=info)))
    for report in (show(command, server.url()), json.loads(theirs(REPORT, ID))):
        (point,) = report["children"]
        assert repr(point["info"]["meta.raw_payload.db-start"]["info"]) == repr(info)


def test_an_id_is_a_part_of_a_path(server, command):
    """Whatever stands in it; ids that only hold it are others, and so are those in capitals."""
    odd = "a/b?c=d&e #%2F+\\é"
    ids = [odd, odd.upper(), odd + "x", "/", "timestamp/GT 0"]
    ours(WRITE, server.url(), lines=lines_of(*(notification(base_id=base_id) for base_id in ids)))
    for base_id in ids:
        done = command("trace", "export", base_id, "--connection-string", server.url())
        assert [json.loads(line)["base_id"] for line in done.stdout.splitlines()] == [base_id], done.stderr


def test_junk_is_skipped_and_counted(server, command):
    """Other applications' events with the same words, half notifications, events of another form."""
    ours(WRITE, server.url(), lines=lines_of(notification(), notification("db-stop", 2)))
    junk = ["", "{}", "\0", json.dumps(notification())[:60], json.dumps(notification(timestamp="yesterday"))]
    for text in junk:
        fields = [{"name": "base_id", "content": ID}, {"name": "trace", "content": text}]
        server.events["127.0.0.1"].append({"timestamp": 1, "text": "OSProfiler trace", "fields": fields})
    for fields in ([{"name": "base_id", "content": f"about {ID}"}], [{"name": "trace", "content": "x"}]):
        server.events["127.0.0.1"].append({"timestamp": 1, "text": "another application's", "fields": fields})
    done = command("trace", "show", ID, "--connection-string", server.url())
    assert done.returncode == 0, done.stderr
    assert "db" in done.stdout
    assert f"skipped {len(junk)} stored elements" in done.stderr
    done = command("trace", "list", "--connection-string", server.url())
    assert (done.returncode, done.stdout.count(ID)) == (0, 1)
    assert f"skipped {len(junk)} stored elements" in done.stderr


# What a person is told.


@pytest.mark.parametrize(
    ("connection_string", "expected"),
    [
        ("loginsight://", "names no user and password"),
        ("loginsight://h", "`loginsight://USER:PASSWORD@HOST`"),
        ("loginsight://u@h", "names no user and password"),
        ("loginsight://u:s3cret@", "names no host"),
        ("loginsight://u:s3cret@h:9543", "leave the port out"),
        ("loginsight://u:s3cret@h:port", "names no host, or one that cannot be"),
        ("loginsight://u:s3cret@a,b", "names no host, or one that cannot be"),
        ("loginsight://u:s3cret@h/path", "has a path"),
        ("loginsight://u:s3cret@h?api_port=0", "write a port, for example `api_port=9000`"),
        ("loginsight://u:s3cret@h?ttl=7d", "has no option `ttl`"),
        ("loginsight://u:s3cret@h?tls_verify=perhaps", "write `true` or `false`"),
        ("loginsight://u:s3cret@x@no-such-host.invalid", "no-such-host.invalid"),
    ],
)
def test_a_wrong_connection_string_is_told_with_a_right_one(command, connection_string, expected):
    """One line, without a server."""
    words = told(command, connection_string)
    assert expected in words, words


def test_a_wrong_password(server, command):
    """The server's own words, and that it may be known elsewhere; asked once."""
    words = told(command, server.url(login="u:s3cret"))
    assert "`loginsight://u:***@127.0.0.1" in words
    assert "Invalid username or password. (status 401)" in words
    assert "provider=ActiveDirectory" in words
    assert len(server.requests) == 1
    done = command("trace", "list", "--connection-string", server.url("provider=Local", login=f"{USER}:{PASSWORD}"))
    assert done.returncode == 0, done.stderr


def test_a_server_that_repeats_the_password(server, command):
    """It is masked."""
    server.say = lambda method, path, body: (400, {"errorMessage": f"bad\n{body.decode()}"})
    words = told(command, server.url(login="u:s3cret"))
    assert '"password": "***"' in words


def test_a_certificate_that_nobody_vouches_for(server, command):
    """And each way to trust it; a file of authorities that is none."""
    words = told(command, server.url("tls_verify=true"))
    assert "its certificate is not trusted" in words
    assert "`tls_ca_file=/path/authority.pem`" in words
    for options in ("", "tls_verify=false"):
        done = command("trace", "list", "--connection-string", server.url(options))
        assert done.returncode == 0, done.stderr
    assert "/no-such-file" in told(command, server.url("tls_ca_file=/no-such-file"))
    assert "it holds none" in told(command, server.url(f"tls_ca_file={server.certificates.key}"))


def test_a_certificate_for_another_host(tmp_path, command):
    """It is of a known authority."""
    with LogInsight(tmp_path, ("127.0.0.2",)) as other:
        other.certificates.certificate.touch()
        url = other.url(address="127.0.0.2")
        assert command("trace", "list", "--connection-string", url).returncode == 0
    with LogInsight(tmp_path, ("127.0.0.3",)) as other:
        words = told(command, other.url(address="127.0.0.3"))
        assert "its certificate is not trusted" in words
        assert "the host as the certificate does" in words


def test_tls_where_there_is_none(server, command):
    """The ports are mixed up."""
    plain = server.url().replace(f"api_ssl_port={server.tls_port}", f"api_ssl_port={server.port}")
    words = told(command, plain)
    assert "no TLS can be agreed upon" in words, words
    assert "`api_port` and `api_ssl_port`" in words


def test_nobody_answers(server, command):
    """Refused at once."""
    url = server.url().replace(f"api_ssl_port={server.tls_port}", f"api_ssl_port={free_port()}")
    assert "nobody listens there" in told(command, url)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, "<html>Welcome</html>"), "what answers there is not Log Insight (it answers with something else"),
        ((200, {}), "what answers there is not Log Insight (no session in the answer to a login)"),
        ((200, {"sessionId": "a\r\nb"}), "no session in the answer to a login"),
        ((404, "no such page"), "what answers there is not Log Insight (status 404)"),
        ((302, ""), "what answers there is not Log Insight (status 302)"),
        ((503, {"errorMessage": "LI server should be bootstrapped"}), "should be bootstrapped (status 503)"),
        ((403, ""), "the server refuses it with the status 403"),
    ],
)
def test_a_server_of_another_kind_or_in_another_state(server, command, answer, expected):
    """What answers, and what it says."""
    server.say = lambda method, path, body: answer
    words = told(command, server.url())
    assert expected in words, words


def test_a_program_that_speaks_no_http(command):
    """And one that speaks it, and knows nothing of this."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = f"loginsight://u:s3cret@127.0.0.1?api_ssl_port={other.server_port}"
        assert "no TLS can be agreed upon" in told(command, url)
        other.shutdown()


def test_the_driver_of_upstreams_name_is_made_without_a_server():
    """Its constructor refuses what upstream's does, and waits for no login."""
    text = """
import sys
from osprofiler.drivers import base
driver = base.get_driver("loginsight://u%40d:p%3A@no-such-host.invalid", project="p", service="s")
assert type(driver).__name__ == "LogInsightDriver", driver
try:
    base.get_driver("loginsight://u@h")
except ValueError as error:
    print(error)
"""
    assert "loginsight://USER:PASSWORD@HOST" in ours(text)


def test_what_is_not_read_is_an_error_of_upstreams_class():
    """Of Python's own for failing stores, too, which other drivers raise."""
    text = """
from osprofiler import exc
from osprofiler.drivers import base
driver = base.get_driver("loginsight://u:s3cret@127.0.0.1")
for question in (lambda: driver.get_report("B"), driver.list_traces, lambda: driver.list_traces(["name"])):
    try:
        question()
    except exc.LogInsightAPIError as error:
        assert isinstance(error, OSError) and "s3cret" not in str(error) and "127.0.0.1" in str(error), error
        print("refused")
"""
    assert ours(text).split() == ["refused"] * 3
