# SPDX-License-Identifier: Apache-2.0
"""Carry the place in a trace to where it doesn't go by itself: into a thread, a pool, a greenthread.

In: a function, or an executor. Out: one that runs in the place where it was made, or given its work, and leaves the
place of whoever runs it as it was. An asyncio task, ``loop.call_soon`` and ``asyncio.to_thread`` take the place along
by themselves; threads, the workers of pools, and the greenthreads of eventlet and gevent begin outside of any trace.
"""

import contextlib
import functools
import inspect

from osprofiler import _native

# What takes a function first and runs it elsewhere, of the executors and pools that this knows: concurrent.futures,
# futurist, eventlet, gevent, multiprocessing.pool.
_TAKES_FUNCTION = frozenset(
    (
        "apply",
        "apply_async",
        "imap",
        "imap_unordered",
        "map",
        "map_async",
        "spawn",
        "spawn_n",
        "starmap",
        "starmap_async",
        "submit",
    )
)


def carry(function):
    """Return the function, to be run in the place in the trace where this is called.

    Points that it opens hang below the point that is open now. Whatever thread, greenthread or loop runs it, and
    however often, its own place is what it was before. Called outside of a trace, the function runs outside of any.
    Once the trace is over, new points are still recorded for 60 seconds, later ones dropped and counted.

    Costs about 0.4 us a call. The result of a generator function is run by whoever iterates over it, in his place.

    :param function: any callable; a coroutine function stays one
    :returns: the callable. Pickled, for another process, it is the bare function: a place is known to its own process
        only

    >>> import threading
    >>> from osprofiler import profiler
    >>> def work():
    ...     with profiler.Trace("work"):
    ...         print("below", profiler.get().get_base_id())
    >>> _ = profiler.init("SECRET", base_id="the trace")
    >>> with profiler.Trace("request"):
    ...     thread = threading.Thread(target=carry(work))
    ...     thread.start()
    ...     thread.join()
    below the trace
    >>> profiler.clean()
    """
    if not inspect.iscoroutinefunction(function):
        return _Carried(function)
    place = _native.current_context()

    @functools.wraps(function)
    async def carried(*args, **kwargs):
        before = _native.enter_context(place)
        try:
            return await function(*args, **kwargs)
        except BaseException as error:
            _native.hide_frame(error)
            raise
        finally:
            _native.enter_context(before)

    return carried


def carry_executor(executor):
    """Return the executor with everything that it is given carried: each function runs in the place of its ``submit``.

    Serves the executors of ``concurrent.futures`` and ``futurist`` (``submit``, ``map``), the pools of eventlet
    (``spawn``, ``spawn_n``, ``imap``, ``starmap``) and gevent, and ``multiprocessing.pool.ThreadPool``; whatever else
    it has is as it was. A pool of processes works on, and its functions run outside of the trace. Callbacks of futures
    are not carried.

    Costs what ``carry`` does. Several requests may share one; it may be made once, at the start of a service.

    :param executor: the executor or pool
    :returns: what passes for it

    >>> import concurrent.futures
    >>> from osprofiler import profiler
    >>> executor = carry_executor(concurrent.futures.ThreadPoolExecutor())
    >>> _ = profiler.init("SECRET", base_id="the trace")
    >>> with executor, profiler.Trace("request"):
    ...     executor.submit(lambda: profiler.get().get_base_id()).result()
    'the trace'
    >>> profiler.clean()
    """
    return _Carrying(executor)


class _Carried:
    """A function and the place where it is to run."""

    def __init__(self, function):
        self.__wrapped__ = function
        self._place = _native.current_context()
        with contextlib.suppress(Exception):
            functools.update_wrapper(self, function)

    def __call__(self, *args, **kwargs):
        before = _native.enter_context(self._place)
        try:
            return self.__wrapped__(*args, **kwargs)
        except BaseException as error:
            _native.hide_frame(error)
            raise
        finally:
            _native.enter_context(before)

    def __reduce__(self):
        return _bare, (self.__wrapped__,)


def _bare(function):
    return function


class _Carrying:
    """An executor that carries what it is given."""

    def __init__(self, executor):
        self._executor = executor

    # It passes for the executor where that is asked for, as asyncio does for its default one.
    @property
    def __class__(self):
        return type(self._executor)

    def __getattr__(self, name):
        attribute = getattr(self._executor, name)
        if name not in _TAKES_FUNCTION:
            return attribute

        @functools.wraps(attribute)
        def carrying(function, *args, **kwargs):
            carried = carry(function)
            try:
                return attribute(carried, *args, **kwargs)
            except BaseException as error:
                _native.hide_frame(error)
                raise

        return carrying

    def __enter__(self):
        try:
            self._executor.__enter__()
        except BaseException as error:
            _native.hide_frame(error)
            raise
        return self

    def __exit__(self, *raised):
        try:
            return self._executor.__exit__(*raised)
        except BaseException as error:
            _native.hide_frame(error)
            raise
