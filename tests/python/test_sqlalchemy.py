# SPDX-License-Identifier: Apache-2.0
"""SQL statements as points, with a real engine."""

import datetime
import decimal

import pytest
import sqlalchemy
from conftest import draw, drawn, points, start_info, stop_info
from osprofiler import profiler
from osprofiler import sqlalchemy as tracing
from sqlalchemy import orm


@pytest.fixture
def engine():
    """Return a database in memory."""
    engine = sqlalchemy.create_engine("sqlite://")
    yield engine
    engine.dispose()


def execute(engine, statement, params=None):
    with engine.connect() as connection:
        return connection.execute(sqlalchemy.text(statement), params or {}).all()


def test_a_statement_is_a_point(recording, base_id, engine):
    tracing.add_tracing(sqlalchemy, engine, "sql")
    execute(engine, "select 1")
    profiler.init("key", base_id)
    with profiler.Trace("outer"):
        assert execute(engine, "select :a", {"a": "x"}) == [("x",)]
    assert recording.tree(base_id) == "outer\n  sql"
    (info,) = points(recording.report(base_id), "sql")
    assert start_info(info)["db"] == {"statement": "select ?", "params": ["x"]}
    assert list(stop_info(info)) == ["host"]


def test_results_are_told_if_asked_for(recording, base_id, engine):
    """D-26."""
    tracing.add_tracing(sqlalchemy, engine, "sql", hide_result=False)
    profiler.init("key", base_id)
    assert execute(engine, "select 1") == [(1,)]
    (info,) = points(recording.report(base_id), "sql")
    assert stop_info(info)["db"] == {"rowcount": -1}


def test_an_error_ends_the_statement(recording, base_id, engine):
    tracing.add_tracing(sqlalchemy, engine, "sql")
    profiler.init("key", base_id)
    with profiler.Trace("outer"):
        with pytest.raises(sqlalchemy.exc.OperationalError):
            execute(engine, "select * from absent")
        execute(engine, "select 1")
    assert recording.tree(base_id) == drawn("""
        outer
          sql (sqlite3.OperationalError)
          sql
    """)
    info = points(recording.report(base_id), "sql")[0]
    assert stop_info(info)["message"] == "no such table: absent"
    assert stop_info(info)["db"] == {"original_exception": "no such table: absent", "chained_exception": ""}


def test_an_error_before_a_cursor_ends_nobody_elses_point(recording, base_id, engine):
    """D-25."""
    tracing.add_tracing(sqlalchemy, engine, "sql")
    profiler.init("key", base_id)
    with profiler.Trace("outer"):
        with pytest.raises(sqlalchemy.exc.StatementError):
            execute(engine, "select :missing")
        execute(engine, "select 1")
    assert recording.tree(base_id) == "outer\n  sql"


def test_an_unreachable_database_ends_nobody_elses_point(recording, base_id):
    """D-25."""
    engine = sqlalchemy.create_engine("sqlite:////no/such/folder/database")
    tracing.add_tracing(sqlalchemy, engine, "sql")
    profiler.init("key", base_id)
    with profiler.Trace("outer"):
        with pytest.raises(sqlalchemy.exc.OperationalError):
            execute(engine, "select 1")
        with profiler.Trace("inner"):
            pass
    assert recording.tree(base_id) == "outer\n  inner"


def test_tracing_added_twice_gives_two_points(recording, base_id, engine):
    tracing.add_tracing(sqlalchemy, engine, "a")
    tracing.add_tracing(sqlalchemy, engine, "b")
    profiler.init("key", base_id)
    execute(engine, "select 1")
    with pytest.raises(sqlalchemy.exc.OperationalError):
        execute(engine, "select * from absent")
    with profiler.Trace("after"):
        pass
    assert [node["info"]["name"] for node in recording.report(base_id)["children"]] == ["a", "a", "after"]
    assert "never ended" not in draw(recording.report(base_id))


@pytest.mark.parametrize(
    ("type_", "value", "told"),
    [
        (sqlalchemy.LargeBinary, b"\xff\x00", [255, 0]),
        (sqlalchemy.Interval, datetime.timedelta(seconds=1), None),
        (sqlalchemy.Numeric, decimal.Decimal("1.5"), None),
        (sqlalchemy.DateTime, datetime.datetime(2026, 1, 2), None),
        (sqlalchemy.JSON, {"a": [1]}, None),
        (sqlalchemy.Unicode, "x" * 3_000_000, None),
    ],
)
def test_any_parameter_is_recorded(recording, base_id, engine, type_, value, told):
    """D-04."""
    tracing.add_tracing(sqlalchemy, engine, "sql")
    profiler.init("key", base_id)
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.select(sqlalchemy.literal(value, type_))) == value
    (info,) = points(recording.report(base_id), "sql")
    assert told is None or start_info(info)["db"]["params"] == [told]


def test_executemany(recording, base_id, engine):
    tracing.add_tracing(sqlalchemy, engine, "sql")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("create table t (a)"))
        profiler.init("key", base_id)
        connection.execute(sqlalchemy.text("insert into t values (:a)"), [{"a": 1}, {"a": 2}])
    (info,) = points(recording.report(base_id), "sql")
    assert start_info(info)["db"]["params"] == [[1], [2]]


def test_a_wrapped_session_is_traced_once(recording, base_id, engine):
    make = orm.sessionmaker(engine)
    profiler.init("key", base_id)
    for _ in range(2):
        with tracing.wrap_session(sqlalchemy, make()) as session:
            session.execute(sqlalchemy.text("select 1"))
    assert recording.tree(base_id) == "db\ndb"
    assert engine.traced


def test_disabled_adds_nothing(recording, base_id, engine):
    tracing.disable()
    try:
        tracing.add_tracing(sqlalchemy, engine, "sql")
    finally:
        tracing.enable()
    profiler.init("key", base_id)
    execute(engine, "select 1")
    assert recording.report(base_id)["children"] == []
