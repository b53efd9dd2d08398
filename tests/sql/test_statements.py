# SPDX-License-Identifier: Apache-2.0
"""SQL statements as points, with a real engine: which there are, what they tell, and that no statement suffers."""

import datetime
import decimal
import doctest
import gc
import logging

import pytest
import sqlalchemy
from conftest import draw, drawn, own_frames, points, start_info, stop_info
from osprofiler import profiler
from osprofiler import sqlalchemy as tracing
from sqlalchemy import orm


def execute(engine, statement, params=None):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sqlalchemy.text(statement), params or {})]


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


def before_a_cursor(engine):
    """Raise what a statement raises before it has a cursor: a parameter is missing."""
    with pytest.raises(sqlalchemy.exc.StatementError):
        execute(engine, "select :missing")


def after_the_cursor(engine):
    """Raise what a statement raises after its point has ended: its second row can't be made."""
    with engine.connect() as connection:
        connection.connection.create_function("inverse", 1, lambda number: 1 / number)
        result = connection.execute(sqlalchemy.text("select inverse(n) from (select 1 as n union all select 0)"))
        with pytest.raises(sqlalchemy.exc.OperationalError):
            result.fetchall()


@pytest.mark.parametrize(("fail", "tree"), [(before_a_cursor, "  sql"), (after_the_cursor, "  sql\n  sql")])
def test_an_error_outside_of_the_cursor_ends_nobody_elses_point(recording, base_id, engine, fail, tree):
    """D-25."""
    tracing.add_tracing(sqlalchemy, engine, "sql")
    profiler.init("key", base_id)
    with profiler.Trace("outer"):
        fail(engine)
        execute(engine, "select 1")
    assert recording.tree(base_id) == f"outer\n{tree}"


def test_what_an_applications_own_listener_raises_leaves_no_point_open(recording, base_id, engine):
    """One that comes after ours; the statement never reaches its cursor."""

    def refuse(conn, cursor, statement, params, context, executemany):
        if "forbidden" in statement:
            raise PermissionError(statement)

    tracing.add_tracing(sqlalchemy, engine, "sql")
    sqlalchemy.event.listen(engine, "before_cursor_execute", refuse)
    profiler.init("key", base_id)
    with profiler.Trace("outer"):
        with pytest.raises(PermissionError):
            execute(engine, "select 'forbidden'")
        execute(engine, "select 1")
    assert recording.tree(base_id) == drawn("""
        outer
          sql
    """)


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


def test_a_statement_inside_a_statement_is_its_child(recording, base_id, engine):
    """A driver may call back while it executes; what that leaves open doesn't shift the points around it."""
    other = sqlalchemy.create_engine("sqlite://")
    tracing.add_tracing(sqlalchemy, engine, "sql")
    tracing.add_tracing(sqlalchemy, other, "other")

    def callback():
        execute(other, "select 2")
        profiler.start("left open")
        return 3

    profiler.init("key", base_id)
    with engine.connect() as connection:
        connection.connection.create_function("callback", 0, callback)
        with profiler.Trace("outer"):
            assert connection.scalar(sqlalchemy.text("select callback()")) == 3
            connection.scalar(sqlalchemy.text("select 1"))
    other.dispose()
    assert recording.tree(base_id) == drawn("""
        outer
          sql
            other
            left open (never ended)
          sql
    """)


@pytest.mark.parametrize(
    ("name", "derive"),
    [
        ("sql", lambda engine: engine),
        ("other", lambda engine: engine),
        # A second engine, which inherits the listeners of the first.
        ("sql", lambda engine: engine.execution_options(isolation_level="SERIALIZABLE")),
    ],
    ids=["same", "other name", "derived"],
)
def test_tracing_added_twice_makes_one_point(recording, base_id, engine, name, derive):
    tracing.add_tracing(sqlalchemy, engine, "sql")
    engine = derive(engine)
    tracing.add_tracing(sqlalchemy, engine, name)
    profiler.init("key", base_id)
    execute(engine, "select 1")
    with pytest.raises(sqlalchemy.exc.OperationalError):
        execute(engine, "select * from absent")
    with profiler.Trace("after"):
        pass
    assert recording.tree(base_id) == drawn("""
        sql
        sql (sqlite3.OperationalError)
        after
    """)


def test_an_engine_where_another_was_is_traced(collected, engine, monkeypatch):
    """SQLAlchemy's registry of listeners goes by addresses, and may still know an engine that is gone."""
    monkeypatch.setattr(sqlalchemy.event, "contains", lambda *_: True)
    tracing.add_tracing(sqlalchemy, engine, "sql")
    profiler.init("key")
    execute(engine, "select 1")
    assert [notification["name"] for notification in collected] == ["sql-start", "sql-stop"]


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


TABLE = sqlalchemy.Table(
    "t",
    sqlalchemy.MetaData(),
    sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
    sqlalchemy.Column("a", sqlalchemy.Integer),
)
# Since 2.0, rows whose keys are wanted back are inserted as batches of one statement each.
HAS_BATCHES = not sqlalchemy.__version__.startswith("1.")


@pytest.mark.parametrize("count", [2, 10_000])
def test_many_parameter_sets_are_counted_and_the_first_shown(recording, base_id, engine, count):
    tracing.add_tracing(sqlalchemy, engine, "sql", hide_result=False)
    with engine.begin() as connection:
        TABLE.create(connection)
        profiler.init("key", base_id)
        connection.execute(sqlalchemy.text("insert into t (a) values (:a)"), [{"a": n} for n in range(count)])
    (info,) = points(recording.report(base_id), "sql")
    assert start_info(info)["db"] == {
        "statement": "insert into t (a) values (?)",
        "params": [[n] for n in range(min(count, 10))],
        "executemany": True,
        "parameter_sets": count,
    }
    assert stop_info(info)["db"] == {"rowcount": count}


def test_rows_inserted_in_batches_are_counted(recording, base_id, engine):
    tracing.add_tracing(sqlalchemy, engine, "sql")
    insert = TABLE.insert().returning(TABLE.c.id) if HAS_BATCHES else TABLE.insert()
    with engine.begin() as connection:
        TABLE.create(connection)
        profiler.init("key", base_id)
        with profiler.Trace("outer"):
            connection.execute(insert, [{"a": n} for n in range(2500)])
    infos = points(recording.report(base_id), "sql")
    assert recording.tree(base_id) == "\n  ".join(["outer", *["sql"] * len(infos)])
    told = [start_info(info)["db"] for info in infos]
    assert [len(db["params"]) for db in told] == ([1000, 1000, 500] if HAS_BATCHES else [10])
    assert {(db["executemany"], db["parameter_sets"]) for db in told} == {(True, 2500)}


class Cursor:
    """What a driver's cursor may answer."""

    def __init__(self, rowcount=None, rows=None):
        self.answers = {"rowcount": rowcount, "_rows": rows}

    def __getattr__(self, name):
        answer = self.__dict__["answers"].get(name)
        if answer is None or isinstance(answer, Exception):
            raise answer or AttributeError(name)
        return answer


ROWS = tuple((n,) for n in range(1000))


@pytest.mark.parametrize(
    ("cursor", "told"),
    [
        (Cursor(), {}),
        (Cursor(RuntimeError("closed")), {}),
        (Cursor("many"), {}),
        (Cursor(2), {"rowcount": 2}),
        (Cursor(2, ((1,), (2,))), {"rowcount": 2, "result": "((1,), (2,))"}),
        (Cursor(-1, 7), {"rowcount": -1}),
        (Cursor(-1, RuntimeError("closed")), {"rowcount": -1}),
        (Cursor(1000, ROWS), {"rowcount": 1000, "result": str(list(ROWS[:20]))}),
        (Cursor(1, (("x" * 1_000_000,),)), {"rowcount": 1, "result": "(('" + "x" * (64 * 1024 - 3)}),
    ],
    ids=["nothing", "raises", "no number", "count", "rows", "no rows", "rows raise", "many rows", "long row"],
)
def test_a_result_is_told_as_far_as_the_driver_knows_it(cursor, told):
    """D-26."""
    assert tracing._result_info(cursor) == told


def test_a_result_is_told_if_asked_for(recording, base_id, engine):
    """D-26."""
    tracing.add_tracing(sqlalchemy, engine, "sql", hide_result=False)
    profiler.init("key", base_id)
    assert execute(engine, "select 1") == [(1,)]
    (info,) = points(recording.report(base_id), "sql")
    assert stop_info(info)["db"] == {"rowcount": -1}


def test_a_wrapped_session_is_traced_once(recording, base_id, engine):
    make = orm.sessionmaker(engine)
    profiler.init("key", base_id)
    for _ in range(2):
        with tracing.wrap_session(sqlalchemy, make()) as session:
            session.execute(sqlalchemy.text("select 1"))
    assert recording.tree(base_id) == "db\ndb"
    assert engine.traced


def test_a_session_without_an_engine_is_entered_as_it_is(collected):
    profiler.init("key")
    with tracing.wrap_session(sqlalchemy, orm.Session()) as session:
        assert session.bind is None
    with pytest.raises(ZeroDivisionError), tracing.wrap_session(sqlalchemy, orm.Session()):
        raise ZeroDivisionError
    assert collected == []


class FailingSession(orm.Session):
    """A session that cannot be entered or left."""

    def __enter__(self):
        raise RuntimeError("not entered")

    def __exit__(self, *raised):
        raise RuntimeError("not left")


def enter(engine):
    with tracing.wrap_session(sqlalchemy, FailingSession(engine)):
        pass


def leave(engine):
    wrapped = tracing.wrap_session(sqlalchemy, FailingSession(engine))
    try:
        raise ValueError("inside")
    except ValueError as error:
        wrapped.__exit__(type(error), error, error.__traceback__)


def fail_inside(engine):
    with tracing.wrap_session(sqlalchemy, orm.Session(engine)) as session:
        session.execute(sqlalchemy.text("select * from absent"))


@pytest.mark.parametrize("fail", [enter, leave, fail_inside])
def test_no_frame_of_ours_is_in_a_traceback_of_a_session(maybe_tracing, engine, fail):
    with pytest.raises((RuntimeError, sqlalchemy.exc.OperationalError)) as raised:
        fail(engine)
    assert own_frames(raised.value) == []


def test_what_is_no_engine_is_told_and_harms_nobody(caplog):
    caplog.set_level(logging.WARNING, "osprofiler")
    tracing.add_tracing(sqlalchemy, "engine", "sql")
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "the statements of an engine of type `str` are not traced"
    ]


class Hostile:
    """Raises whatever is asked of it."""

    def refuse(self, *args):
        raise RuntimeError("no")

    __getattr__ = __bool__ = __str__ = __repr__ = __eq__ = __hash__ = refuse
    bind = sync_engine = property(refuse)


ODD = [None, 5, "\ud800", b"\xff", [], {}, object(), Hostile(), ValueError]


ARGUMENTS = {
    "sqlalchemy": lambda engine, odd: tracing.add_tracing(odd, engine, "sql"),
    "engine": lambda engine, odd: tracing.add_tracing(sqlalchemy, odd, "sql"),
    "name": lambda engine, odd: tracing.add_tracing(sqlalchemy, engine, odd),
    "hide_result": lambda engine, odd: tracing.add_tracing(sqlalchemy, engine, "sql", odd),
    "a session's sqlalchemy": lambda engine, odd: tracing.wrap_session(odd, orm.Session(engine)).__enter__().close(),
}


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
@pytest.mark.parametrize("give", ARGUMENTS.values(), ids=ARGUMENTS)
def test_no_argument_fails_a_statement(collected, engine, give, odd):
    profiler.init("key", "B")
    give(engine, odd)
    assert execute(engine, "select 1") == [(1,)]


def test_no_session_is_too_odd_to_be_entered():
    class Odd(Hostile):
        def __enter__(self):
            return self

        def __exit__(self, *raised):
            return True

    session = Odd()
    with tracing.wrap_session(sqlalchemy, session) as entered:
        raise ZeroDivisionError
    assert entered is session


def test_an_engine_after_many_that_are_gone_is_traced(collected):
    """Addresses come again; what SQLAlchemy remembers by them doesn't keep a later engine untraced."""
    profiler.init("key", "B")
    addresses = set()
    for number in range(50):
        engine = sqlalchemy.create_engine("sqlite://")
        addresses.add(id(engine))
        tracing.add_tracing(sqlalchemy, engine, "sql")
        with pytest.raises(sqlalchemy.exc.OperationalError):
            execute(engine, "select * from absent")
        assert len(collected) == 2 * (number + 1)
        engine.dispose()
        del engine
        gc.collect()
    assert len(addresses) < 50


def test_disabled_adds_nothing(recording, base_id, engine):
    tracing.disable()
    try:
        tracing.add_tracing(sqlalchemy, engine, "sql")
    finally:
        tracing.enable()
    profiler.init("key", base_id)
    execute(engine, "select 1")
    assert recording.report(base_id)["children"] == []
    assert "never ended" not in draw(recording.report(base_id))


def test_the_examples_run():
    done = doctest.testmod(tracing)
    assert done.attempted > 0
    assert done.failed == 0
