# SPDX-License-Identifier: Apache-2.0
"""Secrets among the parameters that a driver gets by position: SQLAlchemy's compiled statement knows their names.

In: statements with a parameter of a secret's name, in each form that SQLAlchemy executes. Out: what a point tells of
them, with `***` in its place; where the places are not certain, in every place.
"""

import pytest
import sqlalchemy
from conftest import points, start_info
from osprofiler import _native, profiler
from osprofiler import sqlalchemy as tracing
from sqlalchemy.dialects import sqlite

HAS_BATCHES = not sqlalchemy.__version__.startswith("1.")
USERS = sqlalchemy.Table(
    "users",
    sqlalchemy.MetaData(),
    sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
    sqlalchemy.Column("name", sqlalchemy.Unicode),
    sqlalchemy.Column("password_hash", sqlalchemy.Unicode),
)
SECRET = USERS.c.password_hash
ROWS = [{"name": f"user {n}", "password_hash": "hunter2"} for n in range(3)]
TOLD_ROWS = [[f"user {n}", "***"] for n in range(3)]
TOLD_BATCH = ["user 0", "***", "user 1", "***", "user 2", "***"]


@pytest.fixture
def told(recording, base_id, engine):
    """Return what executes a statement, twice, and returns what its points tell as parameters."""
    tracing.add_tracing(sqlalchemy, engine, "sql")
    with engine.begin() as connection:
        USERS.create(connection)
        profiler.init("key", base_id)

        def execute(statement, *params):
            for _ in range(2):
                connection.execute(statement, *params)
            report = recording.report(base_id)
            assert "hunter2" not in str(report)
            first, second = (start_info(info)["db"]["params"] for info in points(report, "sql"))
            assert first == second
            return first

        yield execute


@pytest.mark.parametrize(
    ("statement", "params", "expected"),
    [
        (USERS.insert(), [ROWS[0]], ["user 0", "***"]),
        (USERS.insert().values(ROWS), [], TOLD_BATCH),
        (USERS.insert(), [ROWS], TOLD_ROWS),
        (USERS.update().where(SECRET == "hunter2").values(name="new"), [], ["new", "***"]),
        (USERS.update().where(USERS.c.name == "old").values(password_hash="hunter2"), [], ["***", "old"]),
        (USERS.select().where(USERS.c.name.in_(["a", "b"]), SECRET == "hunter2"), [], ["a", "b", "***"]),
        (USERS.select().where(SECRET.in_(["hunter2", "hunter2"]), USERS.c.id == 7), [], ["***", "***", 7]),
        (USERS.select().where(SECRET.in_([]), USERS.c.id == 7), [], [7]),
        (USERS.select().where(USERS.c.name == "a"), [], ["a"]),
        (sqlalchemy.text("select :a, :token, :b"), [{"a": 1, "token": "hunter2", "b": 2}], [1, "***", 2]),
        (sqlalchemy.text("select :token, :a, :token"), [{"a": 1, "token": "hunter2"}], ["***", 1, "***"]),
    ],
    ids=[
        "insert",
        "insert of several rows",
        "executemany",
        "in where",
        "update",
        "beside a list",
        "in a list",
        "in an empty list",
        "no secret",
        "text",
        "twice in a text",
    ],
)
def test_what_goes_by_position_is_masked_by_its_name(told, statement, params, expected):
    assert told(statement, *params) == expected


def test_rows_of_a_batch_are_masked(told):
    """Since 2.0 these are one statement."""
    insert = USERS.insert().returning(USERS.c.id) if HAS_BATCHES else USERS.insert()
    assert told(insert, ROWS) == (TOLD_BATCH if HAS_BATCHES else TOLD_ROWS)


def test_rows_of_a_batch_with_a_value_outside_are_masked_whole(told):
    insert = sqlite.insert(USERS).on_conflict_do_update(index_elements=["id"], set_={"name": "other"})
    rows = [{"id": n, **row} for n, row in enumerate(ROWS)]
    if HAS_BATCHES:
        assert told(insert.returning(USERS.c.id), rows) == ["***"] * 10
    else:
        assert told(insert, rows) == [[n, f"user {n}", "***", "other"] for n in range(3)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [(SECRET == "hunter2", ["***", "***"]), (SECRET.in_([]), ["***"])],
    ids=["beside a secret", "beside an empty list"],
)
def test_parameters_that_a_listener_has_changed_are_masked_whole(told, engine, where, expected):
    @sqlalchemy.event.listens_for(engine, "before_cursor_execute", retval=True)
    def add(conn, cursor, statement, params, context, executemany):
        return f"{statement} and 1 = ?", (*params, 1)

    tracing.add_tracing(sqlalchemy, engine, "sql")
    assert told(USERS.select().where(where)) == expected


def test_what_has_no_names_stays(recording, base_id, engine):
    tracing.add_tracing(sqlalchemy, engine, "sql")
    profiler.init("key", base_id)
    with engine.connect() as connection:
        connection.exec_driver_sql("select ?", ("a",))
    (info,) = points(recording.report(base_id), "sql")
    assert start_info(info)["db"]["params"] == ["a"]


@pytest.fixture
def unmasking():
    """Let the process mask nothing when it is called, until the test's end."""
    yield lambda: _native.set_mask_secrets(False)
    _native.set_mask_secrets(True)


def test_a_process_that_masks_nothing_masks_no_parameter(recording, base_id, engine, unmasking):
    tracing.add_tracing(sqlalchemy, engine, "sql")
    with engine.begin() as connection:
        USERS.create(connection)
        profiler.init("key", base_id)
        connection.execute(USERS.insert(), ROWS[0])
        unmasking()
        connection.execute(USERS.insert(), ROWS[0])
    told = [start_info(info)["db"]["params"][1] for info in points(recording.report(base_id), "sql")]
    assert told == ["***", "hunter2"]
