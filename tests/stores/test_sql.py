# SPDX-License-Identifier: Apache-2.0
"""SQL databases: upstream's table written and read both ways, values that a column cannot hold, junk, old rows.

Upstream works with SQLAlchemy 1.4 alone; it is asked there.
"""

import json
import subprocess
import sys

import pytest
from either import REPORT, ours, recorded
from sql_databases import Database, show

from house.places import CLONE
from servers.mariadb_stores import MariaDBStores
from servers.postgresql import PostgreSQL

ID = "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee"

# Runs beside any osprofiler: notifications of standard input, one in JSON a line, through the driver of a store.
WRITE = """
import json, sys
from osprofiler.drivers import base
drivers = {}
for line in sys.stdin:
    notification = json.loads(line)
    origin = notification.pop("project"), notification.pop("service"), notification["info"]["host"]
    if origin not in drivers:
        drivers[origin] = base.get_driver(sys.argv[1], project=origin[0], service=origin[1], host=origin[2])
    drivers[origin].notify(notification)
try:
    from osprofiler import _native
except ImportError:
    pass
else:
    counters = _native.flush(60)
    assert counters["waiting"] == 0, counters
    print(json.dumps(counters))
"""
LIST = """
import json, sys
from osprofiler.drivers import base
traces = base.get_driver(sys.argv[1]).list_traces()
print(json.dumps(sorted(traces, key=lambda trace: trace["base_id"]), sort_keys=True))
"""
LIST_ERRORS = LIST.replace("list_traces", "list_error_traces")


@pytest.fixture(scope="module", params=[PostgreSQL, MariaDBStores])
def server(request, tmp_path_factory):
    """Return a running server, one of each kind."""
    with request.param(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def database(server):
    """Return an empty database."""
    return Database(server)


def notification(info=None, name="db-start", micros=1, **members):
    """Return a notification of the one trace."""
    return {
        "name": name,
        "base_id": ID,
        "trace_id": "t",
        "parent_id": ID,
        "timestamp": f"2026-01-01T00:00:00.{micros:06}",
        "info": {"host": "h"} | (info or {}),
        "project": "p",
        "service": "s",
    } | members


def write(database, *notifications, options=""):
    """Store notifications; return the counters."""
    lines = "\n".join(map(json.dumps, notifications))
    return json.loads(ours(WRITE, database.url(options), lines=lines))


def comparable(report):
    """Return a report without the order of what began in one millisecond, which upstream leaves to chance.

    Nor with what it leaves out of its payloads: all but the info.
    """
    if isinstance(report, list):
        by_start = sorted(report, key=lambda node: (node["info"]["started"], node["trace_id"]))
        return [comparable(child) for child in by_start]
    if not isinstance(report, dict):
        return report
    return {
        key: {"info": value["info"]} if key.startswith("meta.raw_payload.") else comparable(value)
        for key, value in report.items()
    }


# Upstream and we read what the other wrote.


@pytest.mark.parametrize("trace", ["server-stop-error", "token-issue"])
def test_what_upstream_wrote_is_read(trace, database, upstream, command):
    """In its own table; the reports are equal, and so are the lists."""
    base_id, lines = recorded(trace)
    upstream(WRITE, database.url(), lines=lines)
    theirs = json.loads(upstream(REPORT, database.url(), base_id))
    assert theirs["children"]
    assert comparable(show(command, database.url(), base_id)) == comparable(theirs)
    assert ours(LIST, database.url()) == upstream(LIST, database.url())


@pytest.mark.parametrize("trace", ["server-stop-error", "token-issue"])
def test_what_we_write_upstream_reads(trace, database, server, upstream, command):
    """The rows are those that it writes itself, byte for byte and in order."""
    base_id, lines = recorded(trace)
    ours(WRITE, database.url(), lines=lines)
    theirs = json.loads(upstream(REPORT, database.url(), base_id))
    assert comparable(show(command, database.url(), base_id)) == comparable(theirs)
    assert ours(LIST, database.url()) == upstream(LIST, database.url())

    other = Database(server)
    upstream(WRITE, other.url(), lines=lines)
    assert database.rows() == other.rows()
    assert len(other.rows()) == len(lines.splitlines())


def test_both_write_one_table_whoever_made_it(server, upstream):
    """The table stays as it was made, and all is listed."""
    for writers in ((upstream, ours), (ours, upstream)):
        database = Database(server)
        for number, writer in enumerate(writers):
            lines = json.dumps(notification(base_id=f"trace {number}"))
            writer(WRITE, database.url(), lines=lines)
        expected = [{"base_id": f"trace {number}", "timestamp": "2026-01-01T00:00:00.000001"} for number in (0, 1)]
        assert json.loads(ours(LIST, database.url())) == expected
        assert json.loads(upstream(LIST, database.url())) == expected


def test_the_table_is_upstreams(server, upstream):
    """Its columns, in their order, with its indexes by name."""
    by_hand, by_upstream = Database(server), Database(server)
    ours(WRITE, by_hand.url(), lines=json.dumps(notification()))
    upstream(WRITE, by_upstream.url(), lines=json.dumps(notification()))

    def layout(database):
        if database.is_postgresql:
            return database.ask(
                "SELECT column_name, data_type, character_maximum_length FROM information_schema.columns "
                "WHERE table_name = 'data' AND column_name <> 'id' ORDER BY ordinal_position;"
                "SELECT indexname FROM pg_indexes WHERE tablename = 'data' ORDER BY indexname"
            )
        return database.ask(
            "SELECT column_name, data_type, IF(data_type = 'varchar', character_maximum_length, 0) "
            "FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'data' "
            "AND column_name <> 'id' ORDER BY ordinal_position;"
            "SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_schema = DATABASE() "
            "AND table_name = 'data' ORDER BY index_name"
        )

    assert layout(by_hand) == layout(by_upstream)
    assert "ix_data_base_id" in layout(by_hand)


def test_traces_with_errors_are_listed(database):
    """The first error counts. Upstream has no such list."""
    error = {"etype": "ValueError", "message": "x"}
    for micros in (7, 3, 5):
        write(database, notification(error, "db-stop", micros), notification(base_id="fine", micros=micros))
    expected = [{"base_id": ID, "timestamp": "2026-01-01T00:00:00.000003"}]
    assert json.loads(ours(LIST_ERRORS, database.url())) == expected
    assert [trace["base_id"] for trace in json.loads(ours(LIST, database.url()))] == [ID, "fine"]


def test_eight_processes_make_the_tables_at_once(database):
    """One of them does; all write."""
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, database.url()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(8)
    ]
    for number, writer in enumerate(writers):
        writer.stdin.write(json.dumps(notification(trace_id=str(number))).encode())
        writer.stdin.close()
    for writer in writers:
        counters = json.loads(writer.stdout.read())
        assert (writer.wait(), counters["stored"], counters["lost"]) == (0, 1, 0)
    assert len(database.rows()) == 8


# Values.


def test_a_name_longer_than_its_column_keeps_its_end(database, command):
    """Upstream loses it, and on PostgreSQL all that follows."""
    names = ["ключ" * 100 + end for end in ("-start", "-stop")]
    counters = write(database, *(notification(name=name, micros=micros) for micros, name in enumerate(names)))
    assert (counters["stored"], counters["lost"]) == (2, 0)
    (point,) = show(command, database.url(), ID)["children"]
    assert point["info"]["name"].startswith("ключключ")
    assert {key[-6:] for key in point["info"] if key.startswith("meta.")} == {"-start", "…-stop"}


def test_infos_come_back_as_they_were(database, command):
    """What PostgreSQL's JSON refuses, and what MySQL's would change."""
    info = {"nul": "\0", "surrogate": "\ud800", "big": 2**70, "nan": float("nan"), "é": "😀", "last": "\\u0000\\"}
    write(database, notification(info))
    (point,) = show(command, database.url(), ID)["children"]
    read = point["info"]["meta.raw_payload.db-start"]["info"]
    assert json.dumps(read) == json.dumps({"host": "h"} | info)


def test_texts_that_a_database_cannot_hold_are_near(server, upstream, command):
    """NUL in any PostgreSQL, most of Unicode in tables of another encoding, which upstream makes in such a database."""
    is_postgresql = isinstance(server, PostgreSQL)
    for extra in ("", "ENCODING 'LATIN1' LOCALE 'C'" if is_postgresql else "CHARACTER SET latin1"):
        database = Database(server, extra)
        upstream(WRITE, database.url(), lines=json.dumps(notification(base_id="made")))
        counters = write(
            database,
            notification({"a": "ключ"}, "a\0b-ключ-start", trace_id="\0", project="\0", service="ж"),
            notification(name="a\0b-ключ-stop", micros=2, trace_id="\0"),
        )
        assert (counters["stored"], counters["lost"]) == (2, 0)
        (point,) = show(command, database.url(), ID)["children"]
        assert point["info"]["name"][0] + point["info"]["name"][2] == "ab"
        payload = next(value for key, value in point["info"].items() if key.endswith("-start"))
        assert payload["info"]["a"] == "ключ"


def test_an_id_finds_just_its_trace(database, command):
    """Where a database takes capitals and blanks for nothing, we don't."""
    ids = ["a", "A", "a ", "á", " a"]
    write(database, *(notification(base_id=base_id, trace_id=base_id) for base_id in ids))
    for base_id in ids:
        (point,) = show(command, database.url(), base_id)["children"]
        assert point["trace_id"] == base_id
    listed = [trace["base_id"] for trace in json.loads(ours(LIST, database.url()))]
    assert sorted(listed) == sorted(ids)


# Junk, and what is old.


def test_junk_is_skipped_and_counted(database, command):
    """Other applications' rows, half ones, a value of 10 MB; the traces beside are read."""
    write(database, notification(), notification(name="db-stop", micros=2), notification(base_id="b"))
    if database.is_postgresql:
        good, large = """'"{\\"info\\": {}}"'""", """('"' || repeat('x', 10000000) || '"')::json"""
    else:
        good, large = """'"{\\\\"info\\\\": {}}"'""", """CONCAT('"', REPEAT('x', 10000000), '"')"""
    rows = [
        ("'yesterday'", "'t'", "'x-start'", good),
        ("NULL", "'t'", "'x-start'", good),
        ("''", "'t'", "'x-start'", good),
        ("'2026-01-01T00:00:00.000000'", "NULL", "'x-start'", good),
        ("'2026-01-01T00:00:00.000000'", "'t'", "NULL", good),
        ("'2026-01-01T00:00:00.000000'", "'t'", "'x-start'", "NULL"),
        ("'2026-01-01T00:00:00.000000'", "'t'", "'x-start'", "'[1, {}]'"),
        ("'2026-01-01T00:00:00.000000'", "'t'", "'x-start'", large),
    ]
    for base_id in (f"'{ID}'", "'junk'", "NULL"):
        values = ", ".join(
            f"({timestamp}, {base_id}, 'p', {trace_id}, {name}, {data})" for timestamp, trace_id, name, data in rows
        )
        database.ask(f"INSERT INTO data (timestamp, base_id, parent_id, trace_id, name, data) VALUES {values}")
    done = command("trace", "show", ID, "--connection-string", database.url())
    assert done.returncode == 0, done.stderr
    assert f"{len(rows)} " in done.stderr, done.stderr
    done = command("trace", "list", "--connection-string", database.url())
    assert done.returncode == 0, done.stderr
    assert f"{ID}" in done.stdout
    assert "2026-01-01T00:00:00.000001" in done.stdout
    assert "junk" not in done.stdout
    assert "1 " in done.stderr, done.stderr


def test_what_is_older_than_its_time_is_removed(database):
    """Whoever wrote it, and the lists with it."""
    error = {"etype": "E", "message": "x"}
    write(database, notification(error, "db-stop", base_id="old"))
    assert len(json.loads(ours(LIST_ERRORS, database.url()))) == 1
    write(database, notification(base_id="new", timestamp="2999-01-01T00:00:00.000000"), options="ttl=90d")
    assert [trace["base_id"] for trace in json.loads(ours(LIST, database.url()))] == ["new"]
    assert json.loads(ours(LIST_ERRORS, database.url())) == []


# What the documents say.


def test_the_documents_statements_say_something(database):
    """Whoever copies a query into the database's own tool sees a trace."""
    error = {"etype": "E", "message": "x"}
    write(database, notification(), notification(error, name="db-stop", micros=2))
    page = CLONE / "docs" / "stores" / ("postgresql.md" if database.is_postgresql else "mysql.md")
    blocks = [block.partition("```")[0] for block in page.read_text().split("```sql\n")[1:]]
    statements = "".join(blocks[1:]).replace("'ID'", f"'{ID}'").split(";")
    assert len(statements) == 6
    for statement in filter(str.strip, statements):
        answer = database.ask(statement.strip())
        assert answer or "CREATE INDEX" in statement, statement


def statements(database):
    """Return how many prepared statements MariaDB has run; PostgreSQL counts transactions alone."""
    if database.is_postgresql:
        return int(database.ask("SELECT sum(xact_commit) FROM pg_stat_database"))
    variables = "information_schema.global_status WHERE variable_name = 'COM_STMT_EXECUTE'"
    return int(database.ask(f"SELECT variable_value FROM {variables}"))


def test_a_batch_is_a_few_statements_whatever_its_traces(database, command, tmp_path):
    """Those with errors are listed together, not one by one."""
    failed = [notification({"etype": "LookupError"}, "db-stop", base_id=f"trace-{number}") for number in range(1000)]
    source = tmp_path / "traces.jsonl"
    source.write_text("".join(json.dumps(one) + "\n" for one in failed))
    before = statements(database)
    done = command("trace", "copy", "--all", f"--from=file://{source}", f"--to={database.url()}")
    assert done.returncode == 0, done.stderr
    assert statements(database) - before < 50
    assert int(database.ask("SELECT count(DISTINCT base_id) FROM data_error")) == 1000


def test_what_a_column_shortened_is_not_copied_again(database, command, tmp_path):
    """A name longer than a column: the copy is run again and finds everything there."""
    source = tmp_path / "traces.jsonl"
    points = [notification(name=f"{'x' * 300}{end}") for end in ("-start", "-stop", "")]
    source.write_text("".join(json.dumps(one) + "\n" for one in points))
    for _ in range(2):
        done = command("trace", "copy", "--all", f"--from=file://{source}", f"--to={database.url()}")
        assert done.returncode == 0, done.stderr
        assert database.ask("SELECT count(*) FROM data") == "3"
