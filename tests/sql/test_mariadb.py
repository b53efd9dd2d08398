# SPDX-License-Identifier: Apache-2.0
"""Statements on a real MariaDB, whose driver keeps rows at hand, takes any parameter and loses its connections."""

import datetime
import decimal

import pytest
import sqlalchemy
from conftest import drawn, points, start_info, stop_info
from osprofiler import profiler
from osprofiler import sqlalchemy as tracing

from servers.mariadb import MariaDB


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Return a server."""
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture
def engine(server):
    """Return an engine that is traced, results included."""
    engine = sqlalchemy.create_engine(server.url)
    tracing.add_tracing(sqlalchemy, engine, "db", hide_result=False)
    yield engine
    engine.dispose()


def execute(engine, statement, params=None):
    with engine.begin() as connection:
        result = connection.execute(sqlalchemy.text(statement), params or {})
        return [tuple(row) for row in result] if result.returns_rows else None


def test_rows_and_their_number_are_told(recording, base_id, engine):
    """D-26."""
    execute(engine, "create or replace table t (a integer, b blob)")
    profiler.init("key", base_id)
    execute(engine, "insert into t values (:a, :b)", [{"a": n, "b": b"\xff" * n} for n in range(50)])
    assert len(execute(engine, "select a from t order by a")) == 50
    execute(engine, "update t set a = 7 where a < 3")
    execute(engine, "select b from t where a = 49")
    told = [stop_info(info)["db"] for info in points(recording.report(base_id), "db")]
    rows = [(n,) for n in range(20)]
    assert told == [
        {"rowcount": 50},
        {"rowcount": 50, "result": str(rows)},
        {"rowcount": 3},
        {"rowcount": 1, "result": str(((b"\xff" * 49,),))},
    ]


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\x00",
        datetime.timedelta(days=1),
        datetime.datetime(2026, 1, 2, 3, 4),
        decimal.Decimal("1.50"),
        "é" * 10,
        None,
    ],
    ids=repr,
)
def test_any_parameter_is_recorded(recording, base_id, engine, value):
    """D-04."""
    profiler.init("key", base_id)
    assert execute(engine, "select :value is null", {"value": value}) == [(value is None,)]
    (info,) = points(recording.report(base_id), "db")
    assert "value" in start_info(info)["db"]["params"]


def test_errors_of_the_server_end_their_statements_only(recording, base_id, engine):
    profiler.init("key", base_id)
    with profiler.Trace("outer"):
        with pytest.raises(sqlalchemy.exc.ProgrammingError):
            execute(engine, "select * from absent")
        with engine.connect() as connection:
            (number,) = connection.execute(sqlalchemy.text("select connection_id()")).one()
            execute(engine, f"kill {number}")
            with pytest.raises(sqlalchemy.exc.OperationalError):
                connection.execute(sqlalchemy.text("select 1"))
        execute(engine, "select 1")
    assert recording.tree(base_id) == drawn("""
        outer
          db (pymysql.err.ProgrammingError)
          db
          db
          db (pymysql.err.OperationalError)
          db
    """)
