# SPDX-License-Identifier: Apache-2.0
"""Tests of services replace `start` and `stop` of the module: `trace` and `Trace` then go through what stands there."""

import asyncio
import contextlib
from unittest import mock

import pytest
from osprofiler import notifier, profiler


@profiler.trace("x", info={"a": 1}, hide_result=False)
def function(*args, **kwargs):
    return 7


@profiler.trace("x", hide_args=True)
def generator():
    yield 7


@profiler.trace("x", hide_args=True)
async def coroutine():
    return 7


def use_trace():
    with profiler.Trace("x", info="text"):
        return 7


FUNCTION_INFO = {"a": 1, "function": {"name": f"{__name__}.function", "args": "(1,)", "kwargs": "{'k': 'v'}"}}
RESULT_INFO = {"function": {"result": "7"}}


def _named(name):
    return {"function": {"name": f"{__name__}.{name}"}}


@pytest.fixture(params=["no trace", "a trace"], autouse=True)
def maybe_tracing(request):
    """Return nothing; a replacement is called whether there is a trace or not."""
    profiler.clean()
    if request.param == "a trace":
        profiler.init("key")
    yield
    profiler.clean()


@pytest.mark.parametrize(
    ("use", "started", "stopped"),
    [
        (lambda: function(1, k="v"), FUNCTION_INFO, RESULT_INFO),
        (lambda: next(iter(list(generator()))), _named("generator"), None),
        (lambda: asyncio.run(coroutine()), _named("coroutine"), None),
        (use_trace, "text", None),
    ],
    ids=["function", "generator", "coroutine", "with"],
)
def test_a_replacement_is_called(use, started, stopped, collected):
    with mock.patch("osprofiler.profiler.start") as start, mock.patch("osprofiler.profiler.stop") as stop:
        assert use() == 7
    start.assert_called_once_with("x", info=started)
    stop.assert_called_once_with(info=stopped)
    assert collected == []
    assert use() == 7
    assert start.call_count == stop.call_count == 1


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
@pytest.mark.parametrize("way", ["decorator", "with"])
def test_a_replacement_is_told_of_errors(way, error):
    def fail():
        raise error

    def fail_inside():
        with profiler.Trace("x"):
            fail()

    with (
        mock.patch("osprofiler.profiler.start"),
        mock.patch("osprofiler.profiler.stop") as stop,
        pytest.raises(type(error)) as raised,
    ):
        fail_inside() if way == "with" else profiler.trace("x")(fail)()
    assert raised.value is error
    told = {"etype": type(error).__name__, "message": str(error)}
    plain_end = way == "decorator" and not isinstance(error, Exception)
    stop.assert_called_once_with(info=None if plain_end else told)


@pytest.mark.parametrize(
    "replace",
    [
        lambda value: setattr(profiler, "start", value),
        lambda value: profiler.__dict__.__setitem__("start", value),
        lambda value: vars(profiler).update(start=value),
        lambda value: mock.patch.object(profiler, "start", value).start(),
        lambda value: mock.patch.dict(vars(profiler), {"start": value}).start(),
    ],
    ids=["setattr", "item", "update", "patch", "patch.dict"],
)
def test_any_way_to_replace_is_seen(replace):
    ours, calls = profiler.start, []
    replace(lambda *args, **kwargs: calls.append((args, kwargs)))
    try:
        function()
        use_trace()
    finally:
        mock.patch.stopall()
        profiler.start = ours
    assert [args for args, _ in calls] == [("x",), ("x",)]
    function()
    assert len(calls) == 2


def test_other_changes_of_the_module_replace_nothing():
    profiler.something = 1
    try:
        with mock.patch("osprofiler.profiler.Trace"):
            assert function() == 7
    finally:
        del profiler.something


@pytest.fixture
def told(maybe_tracing):
    """Return the notifications that are made, in the trace if there is one."""
    notifications = []
    notifier.set(notifications.append)
    yield notifications
    notifier.set(notifier._noop_notifier)


@contextlib.contextmanager
def replaced(name):
    """Replace a method of the class, as services do in their tests; give the list of its calls."""
    calls = []
    with mock.patch.object(profiler._Profiler, name, lambda *args, **kwargs: calls.append((args, kwargs))):
        yield calls


def test_a_replaced_method_of_the_class_is_called(told):
    current = profiler.get()
    with replaced("start") as started, replaced("stop") as stopped:
        profiler.start("x", info={"a": 1})
        profiler.stop({"b": 2})
        assert use_trace() == function(1, k="v") == 7
    if current is not None:
        assert started == [((current, "x"), {"info": info}) for info in ({"a": 1}, "text", FUNCTION_INFO)]
        assert stopped == [((current,), {"info": info}) for info in ({"b": 2}, None, RESULT_INFO)]
    else:
        assert started == stopped == []
    assert told == []
    assert use_trace() == 7
    assert len(told) == 2 * (current is not None)


def test_one_replaced_method_leaves_the_other(told):
    is_tracing = profiler.get() is not None
    for _ in range(2):
        with replaced("stop") as stopped:
            assert use_trace() == 7
        assert len(stopped) == int(is_tracing)
    assert [notification["name"] for notification in told] == ["x-start"] * (2 * is_tracing)


def test_a_replacement_that_calls_ours_records(told):
    is_tracing = profiler.get() is not None
    ours, names = profiler._Profiler.start, []

    def start(self, name, info=None):
        names.append(name)
        ours(self, name, info)

    with mock.patch.object(profiler._Profiler, "start", start):
        assert use_trace() == 7
        profiler.start("y")
    profiler.stop()
    assert names == ["x", "y"] * is_tracing
    assert [n["name"] for n in told] == ["x-start", "x-stop", "y-start", "y-stop"] * is_tracing


def test_other_changes_of_the_class_replace_nothing(told):
    is_tracing = profiler.get() is not None
    for number in range(3):
        with mock.patch.object(profiler._Profiler, "get_id", return_value="patched"):
            profiler._Profiler.number = number
            assert use_trace() == 7
        del profiler._Profiler.number
        assert use_trace() == 7
    assert len(told) == 12 * is_tracing


def test_a_replaced_method_of_one_profiler_is_called(told):
    current = profiler.get() or profiler.init("key")
    current.start = start = mock.Mock()
    profiler.start("x", info={"a": 1})
    assert use_trace() == 7
    assert start.call_args_list == [mock.call("x", info={"a": 1}), mock.call("x", info="text")]
