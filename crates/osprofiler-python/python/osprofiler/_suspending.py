# SPDX-License-Identifier: Apache-2.0
"""Calls that are not over when they return: coroutines, generators and asynchronous generators as points.

What a traced function of such a kind returns inside a trace is made here. The point is open from the first step to
the last. While the call waits for its consumer, the consumer's place in the trace is the current one; an `await` is
no such wait. What is sent and thrown in reaches the call, what it yields, returns and raises reaches the consumer,
and no frame of this file is in a traceback.
"""

import types

from osprofiler._native import current_context, enter_context, hide_frame

_ITERABLE_COROUTINE = 0x100
_COROUTINE = 0x80
_ASYNC_GENERATOR = 0x200
_GENERATOR = 0x20


def runner(code):
    """Return what runs calls of a function with that code; ``None`` if they are over when they return."""
    if code.co_flags & _COROUTINE:
        return _run_coroutine
    if code.co_flags & _ASYNC_GENERATOR:
        return _run_async_generator
    if code.co_flags & _ITERABLE_COROUTINE:
        return _run_iterable_coroutine
    if code.co_flags & _GENERATOR:
        return _run_generator
    return None


def _running(wrap):
    """Return what makes a call's coroutine or generator, wrong arguments being told at once, and wraps it.

    The arguments become text here: they may be others by the first step.
    """

    def run(traced, point, function, args, kwargs):
        try:
            told = point.told(args, kwargs)
            made = function(*args, **kwargs)
        except BaseException as error:
            hide_frame(error)
            raise
        wrapped = wrap(point, made, args, kwargs, told)
        wrapped.__name__ = traced.__name__
        wrapped.__qualname__ = traced.__qualname__
        return wrapped

    return run


class _Unstarted:
    """A coroutine that is not awaited yet. If it never is, the one round it says so, and once is enough."""

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine):
        self._coroutine = coroutine

    def take(self):
        coroutine, self._coroutine = self._coroutine, None
        return coroutine

    def __del__(self):
        if isinstance(self._coroutine, types.CoroutineType):
            self._coroutine.close()


def _unstarted(point, made, args, kwargs, told):
    return _coroutine(point, _Unstarted(made), args, kwargs, told)


async def _coroutine(point, unstarted, args, kwargs, told):
    opened = point.open(args, kwargs, told)
    try:
        result = await unstarted.take()
    except BaseException as error:
        hide_frame(error)
        if opened is not None:
            point.fail(opened, error)
        raise
    if opened is not None:
        point.close(opened, result)
    return result


def _generator(point, generator, args, kwargs, told):
    outside = current_context()
    opened = point.open(args, kwargs, told)
    try:
        step, value = generator.send, None
        while True:
            yielded = step(value)
            inside = enter_context(outside)
            try:
                value = yield yielded
                step = generator.send
            except BaseException as error:
                hide_frame(error)
                step, value = generator.throw, error
            outside = enter_context(inside)
    except StopIteration as end:
        result = end.value
    except BaseException as error:
        hide_frame(error)
        if opened is not None:
            point.fail(opened, error)
        enter_context(outside)
        raise
    if opened is not None:
        point.close(opened, result)
    enter_context(outside)
    return result


_iterable_coroutine = types.coroutine(types.FunctionType(_generator.__code__, globals()))


async def _async_generator(point, generator, args, kwargs, told):
    outside = current_context()
    opened = point.open(args, kwargs, told)
    try:
        step, value = generator.asend, None
        while True:
            yielded = await step(value)
            inside = enter_context(outside)
            try:
                value = yield yielded
                step = generator.asend
            except BaseException as error:
                hide_frame(error)
                step, value = generator.athrow, error
            outside = enter_context(inside)
    except StopAsyncIteration:
        pass
    except BaseException as error:
        hide_frame(error)
        if opened is not None:
            point.fail(opened, error)
        enter_context(outside)
        raise
    if opened is not None:
        point.close(opened, None)
    enter_context(outside)


_run_coroutine = _running(_unstarted)
_run_generator = _running(_generator)
_run_iterable_coroutine = _running(_iterable_coroutine)
_run_async_generator = _running(_async_generator)
