# SPDX-License-Identifier: Apache-2.0
"""Coroutines and generators, asynchronous ones too, are points from first step to end, and stay what they are."""

import asyncio
import contextlib
import contextvars
import dataclasses
import gc
import inspect
import sys
import threading
import types
import warnings

import pytest
from conftest import drawn, own_frames
from osprofiler import profiler


def plain_generator(*items):
    """Give the items back, and what is sent."""
    got = []
    for item in items:
        with profiler.Trace("inner"):
            pass
        try:
            got.append((yield item))
        except KeyError as error:
            got.append(error)
        except ValueError:
            raise
    return got


async def plain_async_generator(*items):
    """Give the items back, and what is sent."""
    for item in items:
        with profiler.Trace("inner"):
            await asyncio.sleep(0)
        try:
            got = yield item
        except KeyError as error:
            got = error
        if got is not None:
            yield ("got", got)


async def plain_coroutine(result):
    """Give the result back, or raise it."""
    with profiler.Trace("inner"):
        await asyncio.sleep(0)
    if isinstance(result, BaseException):
        raise result
    return result


generator = profiler.trace("x")(plain_generator)
async_generator = profiler.trace("x")(plain_async_generator)
coroutine = profiler.trace("x")(plain_coroutine)


@types.coroutine
def plain_iterable():
    """Wait once."""
    yield
    return 7


iterable = profiler.trace("x")(plain_iterable)


@pytest.mark.parametrize(
    ("traced", "plain"),
    [(generator, plain_generator), (async_generator, plain_async_generator), (coroutine, plain_coroutine)],
)
@pytest.mark.parametrize(
    "look",
    [
        inspect.isfunction,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        asyncio.iscoroutinefunction,
        inspect.signature,
    ],
)
def test_the_function_stays_of_its_kind(look, traced, plain):
    assert look(traced) == look(plain)


@pytest.mark.parametrize("traced", [generator, async_generator, coroutine], ids=["generator", "async", "coroutine"])
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_what_a_call_returns_stays_of_its_kind(traced, maybe_tracing):
    made, plain = traced(1), traced.__wrapped__(1)
    assert type(made) is type(plain)
    assert (made.__name__, made.__qualname__) == (plain.__name__, plain.__qualname__)
    with contextlib.suppress(AttributeError):
        made.close()
        plain.close()


def test_a_generator_is_a_point_until_it_ends(recording, base_id):
    profiler.init("key", base_id)
    assert list(generator(1, 2)) == [1, 2]
    assert recording.tree(base_id) == drawn("""
        x
          inner
          inner
    """)


def test_the_consumer_is_outside_of_the_generators_point(recording, base_id):
    profiler.init("key", base_id)
    with profiler.Trace("consumer"):
        for _ in generator(1, 2):
            with profiler.Trace("between"):
                pass
        with profiler.Trace("after"):
            pass
    assert recording.tree(base_id) == drawn("""
        consumer
          x
            inner
            inner
          between
          between
          after
    """)


def test_generators_take_turns(recording, base_id):
    profiler.init("key", base_id)
    assert list(zip(generator(1, 2), generator(3, 4), strict=True)) == [(1, 3), (2, 4)]
    assert recording.tree(base_id) == drawn("""
        x
          inner
          inner
        x
          inner
          inner
    """)


def test_a_generator_within_a_generator_lies_in_its_point(recording, base_id):
    @profiler.trace("outer")
    def outer():
        return (yield from generator(1, 2))

    profiler.init("key", base_id)
    assert list(outer()) == [1, 2]
    assert recording.tree(base_id) == drawn("""
        outer
          x
            inner
            inner
    """)


@pytest.mark.parametrize("traced", [generator, plain_generator])
def test_what_is_sent_thrown_and_returned_goes_through(traced, maybe_tracing):
    running = traced(1, 2, 3)
    assert running.send(None) == 1
    assert running.send("sent") == 2
    error = KeyError("thrown")
    assert running.throw(error) == 3
    with pytest.raises(StopIteration) as end:
        next(running)
    assert end.value.value == ["sent", error, None]
    with pytest.raises(StopIteration):
        next(running)


@pytest.mark.parametrize("traced", [generator, plain_generator])
def test_a_generator_that_does_not_stop_is_told_so(traced, maybe_tracing):
    @profiler.trace("x")
    def stubborn():
        try:
            yield 1
        except GeneratorExit:
            yield 2

    running = stubborn()
    next(running)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        running.close()


def test_a_stop_iteration_thrown_in_is_an_error(maybe_tracing):
    running = generator(1)
    next(running)
    with pytest.raises(RuntimeError, match="generator raised StopIteration"):
        running.throw(StopIteration())


def test_a_generators_error_is_told_and_raised(recording, base_id):
    profiler.init("key", base_id)
    running = generator(1, 2)
    next(running)
    error = ValueError("thrown")
    with pytest.raises(ValueError, match="thrown") as raised:
        running.throw(error)
    assert raised.value is error
    with profiler.Trace("after"):
        pass
    assert recording.tree(base_id) == drawn("""
        x (ValueError)
          inner
        after
    """)


@pytest.mark.parametrize("how", ["close", "drop"])
def test_a_generator_left_early_ends_its_point(recording, base_id, how):
    profiler.init("key", base_id)
    running = generator(1, 2)
    with profiler.Trace("first"):
        next(running)
    with profiler.Trace("second"):
        if how == "close":
            running.close()
        del running
        with profiler.Trace("here"):
            pass
    assert recording.tree(base_id) == drawn("""
        first
          x
            inner
        second
          here
    """)


def test_a_generator_never_started_is_no_point(collected):
    profiler.init("key")
    generator(1).close()
    assert collected == []


def test_a_generator_goes_on_in_another_context(recording, base_id):
    """As when a streaming body is sent by another thread, or by the server's own context."""
    profiler.init("key", base_id)
    with profiler.Trace("request"):
        running = generator(1, 2, 3)
        assert next(running) == 1

    def elsewhere():
        assert profiler.get() is None
        assert next(running) == 2
        assert profiler.get() is None

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()

    def in_another_trace():
        profiler.init("key", f"{base_id}-other")
        with profiler.Trace("other"):
            assert list(running) == [3]
            with profiler.Trace("within other"):
                pass
        profiler.clean()

    contextvars.Context().run(in_another_trace)
    assert recording.tree(base_id) == drawn("""
        request
          x
            inner
            inner
            inner
    """)
    assert recording.tree(f"{base_id}-other") == drawn("""
        other
          within other
    """)


def test_what_a_generator_leaves_open_stays_in_it(recording, base_id):
    @profiler.trace("x")
    def leaving():
        profiler.start("left open")
        yield 1
        profiler.start("deeper")
        profiler.stop()
        yield 2

    profiler.init("key", base_id)
    for _ in leaving():
        with profiler.Trace("between"):
            pass
    with profiler.Trace("after"):
        pass
    assert recording.tree(base_id) == drawn("""
        x
          left open (never ended)
            deeper
        between
        between
        after
    """)


def test_an_async_generator_is_a_point_until_it_ends(recording, base_id):
    async def consume():
        got = []
        async for item in async_generator(1, 2):
            with profiler.Trace("between"):
                await asyncio.sleep(0)
            got.append(item)
        return got

    profiler.init("key", base_id)
    with profiler.Trace("consumer"):
        assert asyncio.run(consume()) == [1, 2]
    assert recording.tree(base_id) == drawn("""
        consumer
          x
            inner
            inner
          between
          between
    """)


@pytest.mark.parametrize("traced", [async_generator, plain_async_generator])
def test_what_is_sent_and_thrown_goes_through_async(traced, maybe_tracing):
    async def consume():
        running = traced(1, 2, 3)
        assert await running.asend(None) == 1
        assert await running.asend("sent") == ("got", "sent")
        assert await anext(running) == 2
        error = KeyError("thrown")
        assert await running.athrow(error) == ("got", error)
        await running.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(running)

    asyncio.run(consume())


@pytest.mark.parametrize("how", ["aclose", "drop", "error"])
def test_an_async_generator_left_early_ends_its_point(recording, base_id, how):
    async def consume():
        running = async_generator(1, 2)
        await anext(running)
        if how == "aclose":
            await running.aclose()
        elif how == "error":
            with pytest.raises(ValueError, match="thrown"):
                await running.athrow(ValueError("thrown"))
        del running
        await asyncio.sleep(0)
        with profiler.Trace("after"):
            pass

    profiler.init("key", base_id)
    with profiler.Trace("consumer"):
        asyncio.run(consume())
    ending = " (ValueError)" if how == "error" else ""
    assert recording.tree(base_id) == drawn(f"""
        consumer
          x{ending}
            inner
          after
    """)


@pytest.mark.parametrize("traced", [coroutine, profiler.trace("y")(coroutine)], ids=["once", "twice"])
def test_a_coroutine_gives_what_it_gives(traced, maybe_tracing):
    assert asyncio.run(traced("result")) == "result"
    error = ValueError("bad")
    with pytest.raises(ValueError, match="bad") as raised:
        asyncio.run(traced(error))
    assert raised.value is error


def test_a_coroutine_in_a_task_lies_where_it_was_made(recording, base_id):
    async def work():
        with profiler.Trace("maker"):
            task = asyncio.create_task(coroutine(1))
        with profiler.Trace("meanwhile"):
            await task

    profiler.init("key", base_id)
    asyncio.run(work())
    assert recording.tree(base_id) == drawn("""
        maker
          x
            inner
        meanwhile
    """)


def test_a_cancelled_coroutine_ends_its_point(recording, base_id):
    @profiler.trace("x")
    async def wait():
        await asyncio.sleep(60)

    async def work():
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    profiler.init("key", base_id)
    asyncio.run(work())
    assert recording.tree(base_id) == "x"


def test_a_coroutine_made_of_a_generator_is_one(recording, base_id):
    async def work():
        return await iterable()

    assert inspect.isawaitable(iterable())
    profiler.init("key", base_id)
    assert inspect.isawaitable(iterable())
    assert asyncio.run(work()) == 7
    assert recording.tree(base_id) == "x"


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    """Nothing can be set on it, not even its traceback."""


@profiler.trace("x")
@profiler.trace("y")
async def failing_coroutine():
    await asyncio.sleep(0)
    raise FrozenError


@profiler.trace("x")
@profiler.trace("y")
@types.coroutine
def failing_iterable():
    yield
    raise FrozenError


@profiler.trace("x")
@profiler.trace("y")
def failing_generator():
    try:
        yield
    finally:
        raise FrozenError


@profiler.trace("x")
@profiler.trace("y")
def stubborn_generator():
    with contextlib.suppress(GeneratorExit):
        yield
    yield


@profiler.trace("x")
@profiler.trace("y")
async def failing_async_generator():
    try:
        yield
    finally:
        await asyncio.sleep(0)
        raise FrozenError


def step_generator(step):
    running = failing_generator()
    next(running)
    step(running)


async def step_async_generator(step):
    running = failing_async_generator()
    await anext(running)
    await step(running)


async def failing_in_a_task(coroutine):
    await asyncio.create_task(coroutine)


async def cancelled():
    task = asyncio.create_task(coroutine(None))
    await asyncio.sleep(0)
    task.cancel()
    await task


def close_stubborn():
    running = stubborn_generator()
    next(running)
    running.close()


STEPS = {
    "coroutine": lambda: asyncio.run(failing_coroutine()),
    "coroutine in a task": lambda: asyncio.run(failing_in_a_task(failing_coroutine())),
    "cancelled coroutine": lambda: asyncio.run(cancelled()),
    "coroutine of a generator": lambda: asyncio.run(failing_in_a_task(failing_iterable())),
    "generator": lambda: step_generator(next),
    "generator, thrown into": lambda: step_generator(lambda running: running.throw(ValueError())),
    "generator, closed": lambda: step_generator(lambda running: running.close()),
    "generator, never closed": close_stubborn,
    "asynchronous generator": lambda: asyncio.run(step_async_generator(anext)),
    "asynchronous generator, thrown into": lambda: asyncio.run(
        step_async_generator(lambda running: running.athrow(ValueError()))
    ),
    "asynchronous generator, closed": lambda: asyncio.run(step_async_generator(lambda running: running.aclose())),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_no_frame_of_ours_is_in_a_traceback_of_a_step(step, maybe_tracing):
    with pytest.raises((FrozenError, RuntimeError, asyncio.CancelledError)) as raised:
        step()
    assert own_frames(raised.value) == []


def test_an_interrupting_repr_stops_the_first_step(collected):
    class Interrupting:
        def __repr__(self):
            raise KeyboardInterrupt

    profiler.init("key")
    with pytest.raises(KeyboardInterrupt):
        next(generator(Interrupting()))
    assert collected == []


def test_a_context_without_a_trace_is_left_without_one(maybe_tracing):
    def check():
        profiler.clean()
        running = generator(1)
        assert next(running) == 1
        assert profiler.get() is None
        return running

    assert list(contextvars.Context().run(check)) == []
    assert sys.exc_info() == (None, None, None)


@pytest.mark.parametrize("traced", [generator, async_generator, coroutine, iterable])
def test_wrong_arguments_are_told_by_the_call(traced, maybe_tracing):
    with pytest.raises(TypeError, match="unexpected keyword argument 'wrong'") as raised:
        traced(wrong=1)
    assert own_frames(raised.value) == []


@pytest.mark.parametrize("end", [lambda never: None, lambda never: never.close()], ids=["dropped", "closed"])
def test_a_coroutine_never_awaited_is_told_as_the_plain_one(end, maybe_tracing):
    def told(function):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            end(function(1))
            gc.collect()
        return [str(warning.message) for warning in caught]

    assert told(coroutine) == told(plain_coroutine)
