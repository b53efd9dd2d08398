# SPDX-License-Identifier: Apache-2.0
"""Trace points: each way of making one gives the right tree in a store, and never changes what the traced code does."""

import asyncio
import contextvars
import gc
import inspect
import threading

import greenlet
import pytest
from conftest import drawn, points, start_info, stop_info
from osprofiler import _native, notifier, profiler


class Unprintable:
    """Its repr and str raise."""

    def __repr__(self):
        raise RuntimeError("repr failed")


class UnprintableError(Exception):
    """Its str raises."""

    def __str__(self):
        raise RuntimeError("str failed")


def test_five_ways_to_make_a_point(recording, base_id):
    @profiler.trace("decorated", info={"a": 1})
    def decorated(*args, **kwargs):
        return len(args)

    @profiler.trace_cls("class")
    class Traced:
        def method(self):
            with profiler.Trace("with", info={"b": 2}):
                return decorated(1, "x", k=None)

        def _private(self):
            profiler.start("never")

    class Managed(metaclass=profiler.TracedMeta):
        __trace_args__ = {"name": "meta", "info": None, "hide_args": False, "trace_private": False}  # noqa: RUF012

        def method(self):
            return Traced().method()

    profiler.init("key", base_id)
    profiler.start("manual", {"any": "value"})
    assert Managed().method() == 2
    profiler.stop({"any": "end"})

    assert recording.tree(base_id) == drawn("""
        manual
          meta
            class
              with
                decorated
    """)
    report = recording.report(base_id)
    (manual,), (decorated_info,) = points(report, "manual"), points(report, "decorated")
    assert start_info(manual)["any"] == "value"
    assert stop_info(manual)["any"] == "end"
    assert start_info(decorated_info)["function"] == {
        "name": f"{__name__}.test_five_ways_to_make_a_point.<locals>.decorated",
        "args": "(1, 'x')",
        "kwargs": "{'k': None}",
    }
    assert start_info(decorated_info)["a"] == 1
    assert start_info(decorated_info)["host"] == _native_host()
    assert manual["project"] == "tests"
    assert manual["service"] == recording.service


def _native_host():
    import socket

    return socket.gethostname()


def test_nothing_is_recorded_without_a_profiler(collected):
    profiler.start("x")
    profiler.stop()
    with profiler.Trace("x"):
        pass
    profiler.trace("x")(lambda: None)()
    assert collected == []


def test_the_notification_of_the_contract(collected):
    given = {"a": [1]}
    profiler.init("key", "B", "P")
    profiler.start("x", info=given)
    profiler.stop()
    start, stop = collected
    assert list(start) == ["name", "base_id", "trace_id", "parent_id", "timestamp", "info"]
    assert (start["name"], stop["name"]) == ("x-start", "x-stop")
    assert (start["base_id"], start["parent_id"]) == ("B", "P")
    assert start["trace_id"] == stop["trace_id"] != "P"
    assert len(start["timestamp"]) == 26
    assert start["info"] == {"a": [1], "host": _native_host()}
    assert stop["info"] == {"host": _native_host()}
    assert given == {"a": [1]}


def test_ids_of_the_profiler():
    profiler.clean()
    prof = profiler.init("key", "B", "P")
    assert (prof.get_base_id(), prof.get_parent_id(), prof.get_id()) == ("B", "B", "P")
    prof.start("x")
    outer = prof.get_id()
    assert (prof.get_base_id(), prof.get_parent_id()) == ("B", "P")
    profiler.start("y")
    assert (prof.get_base_id(), prof.get_parent_id()) == ("B", outer)
    # As upstream's, but for who would change them.
    assert (prof._trace_stack, prof._name) == (("B", "P", outer, prof.get_id()), ("x", "y"))
    profiler.stop()
    assert (prof._trace_stack, prof._name) == (("B", "P", outer), ("x",))
    profiler.stop()
    profiler.stop()
    assert prof.get_id() == "P"
    profiler.clean()
    assert profiler.get() is None


def test_a_profiler_made_by_hand_has_a_stack_of_its_own(collected):
    current = profiler.init("key", "B")
    other = profiler._Profiler("other", "C")
    current.start("a")
    other.start("b")
    current.start("c")
    other.stop()
    current.stop()
    current.stop()
    assert [(n["name"], n["base_id"]) for n in collected] == [
        ("a-start", "B"),
        ("b-start", "C"),
        ("c-start", "B"),
        ("b-stop", "C"),
        ("c-stop", "B"),
        ("a-stop", "B"),
    ]
    assert (collected[1]["parent_id"], collected[2]["parent_id"]) == ("C", collected[0]["trace_id"])


def test_init_keeps_an_open_trace_and_replaces_a_finished_one():
    profiler.clean()
    first = profiler.init("key", "B")
    assert profiler.init("key") is first
    profiler.start("x")
    assert profiler.init("key", base_id="C") is first
    profiler.stop()
    assert profiler.init(hmac_key="key", base_id="C", parent_id="D").get_base_id() == "C"
    profiler.clean()


@pytest.mark.parametrize("function", [lambda *args: None, len, Unprintable])
def test_arguments_are_not_touched_without_a_profiler(function):
    """D-12."""
    profiler.clean()
    traced = profiler.trace("x")(lambda *args, **kwargs: "result")
    assert traced(Unprintable(), key=Unprintable()) == "result"


def test_arguments_that_cannot_be_printed_are_named_by_their_type(recording, base_id):
    profiler.init("key", base_id)
    traced = profiler.trace("x", hide_result=False)(lambda *args, **kwargs: Unprintable())
    assert isinstance(traced(1, Unprintable(), key=Unprintable()), Unprintable)
    (info,) = points(recording.report(base_id), "x")
    assert start_info(info)["function"]["args"] == "(1, <unprintable Unprintable object>)"
    assert start_info(info)["function"]["kwargs"] == "{'key': <unprintable Unprintable object>}"
    assert stop_info(info)["function"]["result"] == "<unprintable Unprintable object>"


@pytest.mark.parametrize(
    ("error", "etype", "message"),
    [
        (ValueError("bad"), "ValueError", "bad"),
        (ValueError(), "ValueError", ""),
        (OSError(2, "No such file"), "FileNotFoundError", "[Errno 2] No such file"),
        (UnprintableError(), "test_points.UnprintableError", "<unprintable UnprintableError object>"),
    ],
)
@pytest.mark.parametrize("way", ["with", "decorator"])
def test_errors_are_told_and_raised(recording, base_id, way, error, etype, message):
    """D-14."""

    def fail():
        raise error

    def fail_inside():
        with profiler.Trace("x"):
            fail()

    profiler.init("key", base_id)
    with pytest.raises(type(error)) as raised:
        fail_inside() if way == "with" else profiler.trace("x")(fail)()
    assert raised.value is error
    assert recording.tree(base_id) == f"x ({etype})"
    (info,) = points(recording.report(base_id), "x")
    assert (stop_info(info)["etype"], stop_info(info)["message"]) == (etype, message)


def test_an_interruption_ends_the_point_without_an_error(recording, base_id):
    profiler.init("key", base_id)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        profiler.trace("x")(interrupt)()
    assert recording.tree(base_id) == "x"


def test_a_generator_left_open_closes_its_own_point_only(recording, base_id):
    def generate():
        with profiler.Trace("generator"):
            yield 1

    profiler.init("key", base_id)
    left = generate()
    with profiler.Trace("first"):
        next(left)
    with profiler.Trace("second"):
        left.close()
        with profiler.Trace("inner"):
            pass
    assert recording.tree(base_id) == drawn("""
        first
          generator (GeneratorExit)
        second
          inner
    """)


def test_a_point_around_init_closes_nothing_of_it(recording, base_id):
    profiler.clean()
    with profiler.Trace("outside"):
        profiler.init("key", base_id)
        profiler.start("open")
    profiler.stop()
    assert recording.tree(base_id) == "open"


def test_errors_are_not_touched_without_a_profiler():
    profiler.clean()
    with pytest.raises(UnprintableError), profiler.Trace("x"):
        raise UnprintableError
    with pytest.raises(UnprintableError):
        profiler.trace("x")(lambda: (_ for _ in ()).throw(UnprintableError()))().__next__()


def test_one_decorator_on_two_functions_names_each(collected):
    """D-29."""
    decorate = profiler.trace("x", hide_args=True)

    def one():
        pass

    def two():
        pass

    profiler.init("key")
    decorate(one)()
    decorate(two)()
    names = [n["info"]["function"]["name"] for n in collected if n["name"] == "x-start"]
    assert [name.rpartition(".")[2] for name in names] == ["one", "two"]


def test_each_call_has_an_info_of_its_own(collected):
    """D-28."""

    @profiler.trace("x", info={"shared": 1})
    def down(level):
        return level and down(level - 1)

    profiler.init("key")
    down(2)
    starts = [n["info"]["function"]["args"] for n in collected if n["name"] == "x-start"]
    assert starts == ["(2,)", "(1,)", "(0,)"]


def test_traced_counts_and_refuses():
    def function():
        pass

    assert profiler.trace("x")(profiler.trace("x")(function)).__traced__ == 2
    assert function.__traced__ == 1
    with pytest.raises(ValueError, match="already been traced 1 times"):
        profiler.trace("x", allow_multiple_trace=False)(function)

    class Traced:
        @profiler.trace("x")
        def method(self):
            pass

    with pytest.raises(ValueError, match="'method' since it has been traced 1 times"):
        profiler.trace_cls("y", allow_multiple_trace=False)(Traced)


def test_class_and_static_methods(recording, base_id):
    """D-11."""

    @profiler.trace_cls("x", trace_class_methods=True, trace_static_methods=True, trace_private=True)
    class Traced:
        @classmethod
        def of_class(cls, a):
            return cls, a

        @staticmethod
        def static(a):
            return a

        def _private(self):
            return self.__class__

        @property
        def value(self):
            raise RuntimeError("a property must not fire")

    class Derived(Traced):
        pass

    profiler.init("key", base_id)
    assert Traced.of_class(1) == (Traced, 1)
    assert Derived.of_class(2) == (Derived, 2)
    assert Traced().of_class(3) == (Traced, 3)
    assert Traced.static(4) == Traced().static(4) == 4
    assert Derived()._private() is Derived
    assert recording.tree(base_id) == "\n".join(["x"] * 6)


def test_class_and_static_methods_stay_alone_by_default(collected):
    @profiler.trace_cls("x")
    class Traced:
        @classmethod
        def of_class(cls):
            return cls

        @staticmethod
        def static():
            return 1

    profiler.init("key")
    assert (Traced.of_class(), Traced.static()) == (Traced, 1)
    assert collected == []


def test_inherited_methods_are_traced_where_they_are_asked_for(collected):
    class Base:
        def method(self):
            return type(self).__name__

    Derived = profiler.trace_cls("x")(type("Derived", (Base,), {}))
    profiler.init("key")
    assert (Base().method(), collected) == ("Base", [])
    assert Derived().method() == "Derived"
    assert len(collected) == 2


def test_traced_meta_needs_a_name():
    with pytest.raises(TypeError):
        profiler.TracedMeta("Nameless", (), {"__trace_args__": {}})
    with pytest.raises(TypeError):
        profiler.TracedMeta("Argumentless", (), {})


def test_coroutines_are_points_until_they_end(recording, base_id):
    """D-13."""

    @profiler.trace("x")
    async def work(fail):
        with profiler.Trace("inner"):
            await asyncio.sleep(0)
        if fail:
            raise ValueError

    assert inspect.iscoroutinefunction(work)
    profiler.init("key", base_id)
    asyncio.run(work(False))
    with pytest.raises(ValueError, match=r"^$"):
        asyncio.run(work(True))
    assert recording.tree(base_id) == drawn("""
        x
          inner
        x (ValueError)
          inner
    """)


def test_tasks_do_not_mix(recording, base_id):
    """D-20."""

    async def task(name, barrier):
        with profiler.Trace(name):
            await barrier.wait()
            with profiler.Trace(f"{name}-inner"):
                await barrier.wait()

    async def both():
        barrier = _Barrier(20)
        await asyncio.gather(*(task(f"task-{number:02}", barrier) for number in range(20)))

    profiler.init("key", base_id)
    with profiler.Trace("outer"):
        asyncio.run(both())
    expected = ["outer"]
    for number in range(20):
        expected += [f"  task-{number:02}", f"    task-{number:02}-inner"]
    lines = recording.tree(base_id).split("\n")
    tops = [" ".join(lines[at : at + 2]) for at in range(1, len(lines), 2)]
    assert sorted(tops) == [" ".join(expected[at : at + 2]) for at in range(1, len(expected), 2)]


class _Barrier:
    """Waits until all are there, again and again. Python has one from 3.11 on."""

    def __init__(self, parties):
        self.parties, self.waiting, self.event = parties, 0, asyncio.Event()

    async def wait(self):
        self.waiting += 1
        event = self.event
        if self.waiting == self.parties:
            self.waiting, self.event = 0, asyncio.Event()
            event.set()
        await event.wait()


def test_threads_have_their_own_traces(recording, base_id):
    count, threads = 500, 8
    ready = threading.Barrier(threads)

    def work(number):
        profiler.init("key", f"{base_id}-{number}")
        ready.wait()
        for _ in range(count):
            with profiler.Trace("outer"), profiler.Trace("inner"):
                pass
        profiler.clean()

    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    for number in range(threads):
        report = recording.report(f"{base_id}-{number}")
        assert report["stats"]["outer"]["count"] == report["stats"]["inner"]["count"] == count
        assert all([child["info"]["name"] for child in node["children"]] == ["inner"] for node in report["children"])


def test_a_profiler_handed_to_a_thread_records_there(recording, base_id):
    prof = profiler.init("key", base_id)

    def work():
        assert profiler.get() is None
        prof.start("far")
        prof.stop()

    with profiler.Trace("near"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert sorted(recording.tree(base_id).split("\n")) == ["far", "near"]


def test_a_context_carries_a_trace_into_a_thread(recording, base_id):
    profiler.init("key", base_id)

    def work():
        with profiler.Trace("inner"):
            pass

    with profiler.Trace("outer"):
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(work,))
        thread.start()
        thread.join()
    assert recording.tree(base_id) == "outer\n  inner"


def test_a_context_that_changes_within_a_call_is_left_as_it_was_found(recording, base_id):
    @profiler.trace("x")
    def change():
        greenlet.getcurrent().gr_context = contextvars.copy_context()
        with profiler.Trace("inner"):
            pass

    profiler.init("key", base_id)
    with profiler.Trace("outer"):
        change()
        with profiler.Trace("after"):
            pass
    assert recording.tree(base_id) == drawn("""
        outer
          x
            inner
          after
    """)


@pytest.mark.parametrize("failing", ["x-start", "x-stop"])
def test_a_notifier_that_raises_changes_nothing(failing):
    """D-01, D-03."""
    seen = []

    def notify(notification):
        seen.append((notification["name"], notification["parent_id"]))
        if notification["name"] == failing:
            raise RuntimeError("the notifier failed")

    profiler.clean()
    notifier.set(notify)
    refused = _native.counters()["refused_by_notifier"]
    profiler.init("key", "B")
    assert profiler.trace("x")(lambda: "result")() == "result"
    with profiler.Trace("x"):
        pass
    with profiler.Trace("sibling"):
        pass
    assert _native.counters()["refused_by_notifier"] == refused + 2
    assert [parent for name, parent in seen if name.endswith("-start")] == ["B", "B", "B"]
    notifier.set(notifier._noop_notifier)
    profiler.clean()


def test_open_points_and_long_chains_leave_no_trouble(recording, base_id):
    depth = 50_000
    profiler.init("key", base_id)
    for _ in range(depth):
        profiler.start("x")
    profiler.clean()
    gc.collect()
    profiler.init("key", base_id)
    assert _native.flush(60)["waiting"] == 0
    listed = [trace for trace in recording.driver.list_traces() if trace["base_id"] == base_id]
    assert len(listed) == 1


@pytest.mark.parametrize("name", [7, None, "", "x" * 5000, "\ud800", "é", b"x"])
def test_any_name_will_do(recording, base_id, name):
    profiler.init("key", base_id)
    with profiler.Trace(name):
        pass
    assert len(recording.report(base_id)["children"]) == 1


@pytest.mark.parametrize("given", ["x" * 256, "\ud800"])
def test_what_cannot_be_an_id_is_served_unrecorded(recording, given):
    prof = profiler.init("key", given)
    assert prof.get_base_id() == given
    with profiler.Trace("x"):
        assert profiler.get() is prof


@pytest.mark.parametrize("given", [7, 1.5, ("a",)])
def test_ids_of_other_types_are_recorded_by_their_text(recording, given):
    prof = profiler.init("key", given)
    assert prof.get_base_id() == given
    with profiler.Trace("x"):
        pass
    assert recording.tree(str(given)).split("\n")[0] == "x"
