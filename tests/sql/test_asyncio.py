# SPDX-License-Identifier: Apache-2.0
"""SQLAlchemy's asyncio extension over a real asyncio driver: statements of tasks that take turns don't mix."""

import asyncio
import threading

import pytest
import sqlalchemy
from conftest import drawn, own_frames, points, start_info, stop_info
from osprofiler import profiler
from osprofiler import sqlalchemy as tracing
from sqlalchemy.ext import asyncio as extension


def run(main):
    """Run a coroutine function with an engine, which ends with it."""

    async def framed():
        engine = extension.create_async_engine("sqlite+aiosqlite://")
        try:
            return await main(engine)
        finally:
            await engine.dispose()

    return asyncio.run(framed())


async def execute(engine, statement):
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(sqlalchemy.text(statement))]


@pytest.mark.parametrize("of", ["engine", "sync_engine"])
def test_a_statement_is_a_point(recording, base_id, of):
    async def main(engine):
        tracing.add_tracing(sqlalchemy, engine if of == "engine" else engine.sync_engine, "sql", hide_result=False)
        tracing.add_tracing(sqlalchemy, engine, "again")
        profiler.init("key", base_id)
        with profiler.Trace("outer"):
            assert await execute(engine, "select 1") == [(1,)]
            with pytest.raises(sqlalchemy.exc.OperationalError):
                await execute(engine, "select * from absent")

    run(main)
    assert recording.tree(base_id) == drawn("""
        outer
          sql
          sql (sqlite3.OperationalError)
    """)
    first, _ = points(recording.report(base_id), "sql")
    assert start_info(first)["db"] == {"statement": "select 1", "params": []}
    assert stop_info(first)["db"]["rowcount"] == -1


def test_statements_of_two_tasks_keep_to_their_own(recording, base_id):
    async def main(engine):
        tracing.add_tracing(sqlalchemy, engine, "sql")
        gates = [asyncio.Event(), asyncio.Event()]

        async def request(number):
            profiler.init("key", f"{base_id}-{number}")
            with profiler.Trace("request"):
                for _ in range(3):
                    await execute(engine, "select 1")
                    # The other one goes on in the middle of this one.
                    gates[number].set()
                    await gates[1 - number].wait()

        await asyncio.gather(request(0), request(1))

    run(main)
    for number in range(2):
        assert recording.tree(f"{base_id}-{number}") == "request\n  sql\n  sql\n  sql"


def test_a_cancelled_statement_ends_its_point(recording, base_id):
    async def main(engine):
        tracing.add_tracing(sqlalchemy, engine, "sql")
        loop, begun, finish = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def wait():
            loop.call_soon_threadsafe(begun.set)
            finish.wait()

        async def request():
            async with engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                await driver.create_function("wait", 0, wait)
                profiler.init("key", base_id)
                with profiler.Trace("outer"):
                    await connection.execute(sqlalchemy.text("select wait()"))

        task = asyncio.ensure_future(request())
        await begun.wait()
        task.cancel()
        # The connection is closed on its own thread, after what runs there.
        loop.call_soon(finish.set)
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)
    assert recording.tree(base_id) == drawn("""
        outer (asyncio.exceptions.CancelledError)
          sql (asyncio.exceptions.CancelledError)
    """)


def test_a_wrapped_session_is_traced(recording, base_id):
    async def main(engine):
        profiler.init("key", base_id)
        for _ in range(2):
            async with tracing.wrap_session(sqlalchemy, extension.AsyncSession(engine)) as session:
                assert await session.scalar(sqlalchemy.text("select 1")) == 1
        async with (
            engine.connect() as connection,
            tracing.wrap_session(sqlalchemy, extension.AsyncSession(connection)) as session,
        ):
            assert await session.scalar(sqlalchemy.text("select 1")) == 1
        return engine.sync_engine.traced

    assert run(main)
    assert recording.tree(base_id) == "db\ndb\ndb"


class FailingSession(extension.AsyncSession):
    """A session that cannot be entered or left."""

    async def __aenter__(self):
        raise RuntimeError("not entered")

    async def __aexit__(self, *raised):
        raise RuntimeError("not left")


async def enter(engine):
    async with tracing.wrap_session(sqlalchemy, FailingSession(engine)):
        pass


async def leave(engine):
    await tracing.wrap_session(sqlalchemy, FailingSession(engine)).__aexit__(None, None, None)


async def fail_inside(engine):
    async with tracing.wrap_session(sqlalchemy, extension.AsyncSession(engine)) as session:
        await session.execute(sqlalchemy.text("select * from absent"))


@pytest.mark.parametrize("fail", [enter, leave, fail_inside])
def test_no_frame_of_ours_is_in_a_traceback_of_a_session(maybe_tracing, fail):
    with pytest.raises((RuntimeError, sqlalchemy.exc.OperationalError)) as raised:
        run(fail)
    assert own_frames(raised.value) == []
