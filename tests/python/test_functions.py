# SPDX-License-Identifier: Apache-2.0
"""A traced function passes for the function wherever frameworks look, and is called exactly as it."""

import abc
import asyncio
import copy
import functools
import gc
import inspect
import multiprocessing
import operator
import pickle
import traceback
import types
import typing
import unittest.mock
import weakref

import pytest
from conftest import drawn
from osprofiler import profiler


def plain(a: int, b: str = "b", *args, c: float = 1.0, **kwargs) -> str:
    """Say what was given."""
    return f"{a} {b} {args} {c} {kwargs}"


plain.mark = "set before"
traced = profiler.trace("x")(plain)


@profiler.trace("x")
def decorated(a, b=2, *, c=3):
    """Add."""
    return a + b + c


class Methods:
    """Traced methods of each kind, with the decorators in either order."""

    @profiler.trace("x")
    def method(self, a=1):
        return self, a

    @classmethod
    @profiler.trace("x")
    def of_class(cls, a=1):
        return cls, a

    @staticmethod
    @profiler.trace("x")
    def static(a=1):
        return a

    @profiler.trace("x")
    @classmethod
    def of_class_below(cls, a=1):
        return cls, a

    @profiler.trace("x")
    @staticmethod
    def static_below(a=1):
        return a


class Derived(Methods):
    """Calls what it overrides."""

    def method(self, a=1):
        return super().method(a + 1)


class Equal:
    """Equal to all of its kind."""

    def __eq__(self, other):
        return isinstance(other, Equal)

    def __hash__(self):
        return 7


@pytest.mark.parametrize(
    "look",
    [
        lambda f: f.__name__,
        lambda f: f.__qualname__,
        lambda f: f.__module__,
        lambda f: f.__doc__,
        lambda f: f.__annotations__,
        lambda f: f.__defaults__,
        lambda f: f.__kwdefaults__,
        lambda f: f.__code__,
        lambda f: f.__globals__ is globals(),
        lambda f: f.__closure__,
        lambda f: f.__class__,
        lambda f: f.mark,
        lambda f: isinstance(f, types.FunctionType),
        lambda f: isinstance(f, typing.Callable),
        callable,
        inspect.isfunction,
        inspect.isroutine,
        inspect.ismethod,
        inspect.isbuiltin,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.ismethoddescriptor,
        inspect.isdatadescriptor,
        inspect.signature,
        inspect.getfullargspec,
        inspect.getdoc,
        inspect.getsource,
        inspect.getsourcefile,
        inspect.getmodule,
        typing.get_type_hints,
        lambda f: inspect.signature(f.__get__(1)),
        lambda f: f.__get__(None, int) is f,
        lambda f: type(f.__get__(1)),
        lambda f: f.__get__(1).__func__ is f,
        lambda f: f.__get__(1).__self__,
        lambda f: repr(f).startswith("<function plain at 0x"),
        lambda f: hash(f) == hash(f),
        lambda f: f in {f: 1},
        lambda f: weakref.ref(f)() is f,
        lambda f: inspect.signature(functools.partial(f, 1)),
        lambda f: functools.partial(f, 1)("x", c=2),
        lambda f: inspect.signature(functools.partialmethod(f, 1).__get__(2)),
        lambda f: inspect.signature(functools.wraps(f)(lambda: None)),
        lambda f: functools.wraps(f)(lambda: None).__wrapped__ is f,
        lambda f: inspect.signature(unittest.mock.create_autospec(f)),
        lambda f: type(unittest.mock.create_autospec(f)),
        lambda f: unittest.mock.create_autospec(f, return_value=7)(1),
        lambda f: f(1),
        lambda f: f(1, "2", 3, c=4, d=5),
        lambda f: f(*(1,), **{"b": 2}),
        lambda f: list(map(f, [1, 2])),
        lambda f: operator.call(f, 1) if hasattr(operator, "call") else "",
        lambda f: f.__call__(1),
        lambda f: types.MethodType(f, 1)("b"),
        lambda f: types.FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__)(1, "b", c=2),
        lambda f: functools.lru_cache(f)(1),
        lambda f: functools.singledispatch(f)(1),
    ],
)
def test_it_looks_like_the_function(look):
    assert look(traced) == look(plain)


@pytest.mark.parametrize("arguments", [((), {}), ((1,), {"x": 1, "b": 2}), ((1, 2), {"b": 3}), ((1,), {"a": 1})])
def test_a_call_with_wrong_arguments_says_what_it_says(arguments, maybe_tracing):
    args, kwargs = arguments

    def say(function):
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            return str(error)

    assert say(traced) == say(plain)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [decorated, Methods.method, Methods.of_class, Methods.static, Derived.of_class])
def test_it_is_pickled_by_its_name(protocol, value):
    assert pickle.loads(pickle.dumps(value, protocol)) == value


def test_it_is_copied_as_functions_are():
    assert copy.copy(decorated) is decorated
    assert copy.deepcopy([decorated])[0] is decorated


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_another_process_can_be_given_it(method):
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        assert pool.apply(decorated, (1,), {"c": 4}) == 7


@pytest.mark.parametrize("owner", [Methods, Derived])
def test_it_binds_as_methods_do(owner, maybe_tracing):
    instance = owner()
    added = 1 if owner is Derived else 0
    assert instance.method() == (instance, 1 + added)
    assert owner.method(instance, 5) == (instance, 5 + added)
    assert (instance.method)(a=2) == (instance, 2 + added)
    for name in ("of_class", "of_class_below"):
        assert getattr(owner, name)(3) == getattr(instance, name)(3) == (owner, 3)
    for name in ("static", "static_below"):
        assert getattr(owner, name)(4) == getattr(instance, name)(4) == 4


def test_each_way_to_bind_is_a_point(recording, base_id):
    profiler.init("key", base_id)
    methods = Derived()
    for name in ("method", "of_class", "of_class_below", "static", "static_below"):
        with profiler.Trace(name):
            getattr(methods, name)()
    assert recording.tree(base_id) == drawn("""
        method
          x
        of_class
          x
        of_class_below
          x
        static
          x
        static_below
          x
    """)


def test_abstract_methods_stay_abstract():
    class Above(abc.ABC):
        @abc.abstractmethod
        @profiler.trace("x")
        def method(self):
            pass

    class Below(abc.ABC):
        @profiler.trace("x")
        @abc.abstractmethod
        def method(self):
            pass

    for cls in (Above, Below):
        with pytest.raises(TypeError, match="abstract"):
            cls()
        assert type("Concrete", (cls,), {"method": lambda self: 1})().method() == 1


def test_what_is_set_on_it_is_its_own():
    def function(a=1):
        """Give it back."""
        return a

    wrapper = profiler.trace("x")(function)
    for name, value in [
        ("__name__", "other"),
        ("__qualname__", "Other.other"),
        ("__module__", "elsewhere"),
        ("__doc__", "Other."),
        ("__annotations__", {"a": int}),
        ("new", 1),
        ("__isabstractmethod__", True),
    ]:
        before = getattr(function, name, "absent")
        setattr(wrapper, name, value)
        assert getattr(wrapper, name) == value
        assert getattr(function, name, "absent") == before
    with pytest.raises(TypeError, match="__name__ must be set to a string object"):
        wrapper.__name__ = 7
    wrapper.__defaults__ = (7,)
    assert (wrapper(), function()) == (7, 7)
    del wrapper.new
    assert not hasattr(wrapper, "new")
    with pytest.raises(AttributeError):
        wrapper.absent  # noqa: B018
    with pytest.raises(TypeError):
        wrapper.__class__ = int


def test_it_names_what_it_stands_for():
    wrapper = profiler.trace("x")(Methods.method)
    assert wrapper.__wrapped__ is Methods.method
    assert inspect.unwrap(wrapper) is Methods.method.__wrapped__
    assert vars(traced)["mark"] == "set before"


@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [
        (len, ("abc",), 3),
        (operator.itemgetter(1), ("abc",), "b"),
        (functools.partial(int, base=2), ("11",), 3),
        ("a-b".split, ("-",), ["a", "b"]),
        (Equal().__hash__, (), 7),
        (dict, (), {}),
        (operator, (), TypeError),
        (functools.lru_cache(abs), (-1,), 1),
        (type("Called", (), {"__call__": lambda self, a: a + 1})(), (1,), 2),
    ],
)
def test_anything_callable_can_be_traced(collected, function, arguments, result):
    if result is TypeError:
        with pytest.raises(TypeError, match="cannot trace what cannot be called"):
            profiler.trace("x")(function)
        return
    wrapper = profiler.trace("x")(function)
    assert inspect.isfunction(wrapper)
    assert not inspect.iscoroutinefunction(wrapper)
    assert wrapper.__code__.co_name
    profiler.init("key")
    assert wrapper(*arguments) == result
    assert [n["name"] for n in collected] == ["x-start", "x-stop"]


def test_a_partial_of_a_coroutine_function_is_one():
    async def work():
        return 1

    wrapper = profiler.trace("x")(functools.partial(work))
    assert inspect.iscoroutinefunction(wrapper)
    assert asyncio.run(wrapper()) == 1


def test_no_frame_of_ours_is_in_a_traceback(maybe_tracing):
    @profiler.trace("x")
    @profiler.trace("y")
    def fail(error):
        raise error

    error = ValueError("bad")
    with pytest.raises(ValueError, match="bad") as raised:
        fail(error)
    assert raised.value is error
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == [
        "test_no_frame_of_ours_is_in_a_traceback",
        "fail",
    ]
    assert error.__context__ is None


def test_an_error_keeps_its_cause_and_its_context(maybe_tracing):
    @profiler.trace("x")
    def fail():
        try:
            raise KeyError("first")
        except KeyError as first:
            raise ValueError("second") from first

    with pytest.raises(ValueError, match="second") as raised:
        fail()
    assert isinstance(raised.value.__cause__, KeyError)
    assert isinstance(raised.value.__context__, KeyError)


def test_an_error_while_another_is_handled_knows_it(maybe_tracing):
    @profiler.trace("x")
    def fail():
        raise ValueError("second")

    first = KeyError("first")
    try:
        raise first
    except KeyError:
        with pytest.raises(ValueError, match="second") as raised:
            fail()
    assert raised.value.__context__ is first


class Canary:
    """Says when it is gone."""


def _cycle_by_function(canary):
    wrapper = profiler.trace("x")(lambda: canary)
    wrapper.__wrapped__.itself = wrapper


def _cycle_by_closure(canary):
    @profiler.trace("x")
    def recursive(n):
        return canary and (n and recursive(n - 1))

    profiler.init("key")
    recursive(2)
    profiler.clean()


def _cycle_by_info(canary):
    inner = [canary]
    inner.append(profiler.trace("x", info={"inner": inner})(lambda: None))


def _cycle_by_attribute(canary):
    wrapper = profiler.trace("x")(lambda: canary)
    wrapper.itself = wrapper


def _cycle_by_name(canary):
    wrapper = profiler.trace("x")(lambda: canary)
    wrapper.__annotations__ = {"return": wrapper}


def _cycle_by_trace(canary):
    info = {"canary": canary}
    info["trace"] = profiler.Trace("x", info=info)


@pytest.mark.parametrize(
    "make",
    [_cycle_by_function, _cycle_by_closure, _cycle_by_info, _cycle_by_attribute, _cycle_by_name, _cycle_by_trace],
)
def test_cycles_are_collected(make):
    gone = []
    canary = Canary()
    weakref.finalize(canary, gone.append, "gone")
    make(canary)
    del canary
    gc.collect()
    assert gone == ["gone"]


def test_many_are_made_and_gone():
    before = len(gc.get_objects())
    for _ in range(1000):
        wrapper = profiler.trace("x", info={"a": [1]})(lambda: 1)
        wrapper()
        with profiler.Trace("x", info={"a": [1]}):
            pass
    del wrapper
    gc.collect()
    assert len(gc.get_objects()) - before < 100


def test_a_class_of_equals_is_hashed_as_it_says():
    traced_equal = profiler.trace("x")(Equal)
    assert traced_equal() in {Equal(): 1}


def test_the_name_recorded_is_the_defining_class(collected):
    profiler.init("key")
    Derived().method()
    (start, _stop) = collected
    assert start["info"]["function"]["name"] == f"{__name__}.Methods.method"


def test_info_is_copied_once_and_its_values_are_not(collected):
    nested = [1]
    info = {"a": 1, "nested": nested}
    wrapper = profiler.trace("x", info=info)(lambda: None)
    info["a"] = 2
    nested.append(2)
    profiler.init("key")
    wrapper()
    nested.append(3)
    wrapper()
    starts = [n["info"] for n in collected if n["name"] == "x-start"]
    assert [start["a"] for start in starts] == [1, 1]
    assert starts[1]["nested"] == [1, 2, 3]


def test_nested_info_is_recorded_as_it_is_at_each_call(recording, base_id):
    nested = [1]
    wrapper = profiler.trace("x", info={"nested": nested, "function": "replaced", "z": 1})(lambda: None)
    profiler.init("key", base_id)
    wrapper()
    nested.append(2)
    wrapper()
    report = recording.report(base_id)
    starts = [node["info"]["meta.raw_payload.x-start"]["info"] for node in report["children"]]
    assert sorted(start["nested"] for start in starts) == [[1], [1, 2]]
    assert list(starts[0]) == ["nested", "function", "z", "host"]


class Named:
    """Shown by its class and address, as most objects are."""


class Shown:
    """Shown by what is hard to show."""

    def __repr__(self):
        return "Shown(\"quoted\", 'both', é, \\, \x00)"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        2**63 - 1,
        -(2**63),
        2**63,
        10**30,
        1.5,
        float("nan"),
        "",
        "plain",
        "it's",
        'a "quote"',
        "both ' and \"",
        "back\\slash",
        "new\nline\ttab\x00\x7f\x80",
        "é ü 漢字 🙂",
        "\ud800",
        "x" * 127,
        "x" * 128,
        "x" * 129,
        b"bytes\xff",
        [1, "two", [3]],
        (1,),
        {"a": 1},
        {1, 2},
        Named(),
        Named,
        Shown(),
        object(),
        ValueError("x"),
        Ellipsis,
        type("Local", (), {})(),
        functools.partial(len, "x"),
        plain,
        operator.itemgetter(1),
    ],
    ids=repr,
)
def test_arguments_are_recorded_as_python_shows_them(recording, base_id, value):
    profiler.init("key", base_id)

    @profiler.trace("x", hide_result=False)
    def give(*args, **kwargs):
        return value

    give(value)
    give(value, 1, key=value, other=2)
    give()
    report = recording.report(base_id)
    functions = [node["info"]["meta.raw_payload.x-start"]["info"]["function"] for node in report["children"]]
    results = [node["info"]["meta.raw_payload.x-stop"]["info"]["function"] for node in report["children"]]
    assert [function["args"] for function in functions] == [str((value,)), str((value, 1)), "()"]
    assert [function["kwargs"] for function in functions] == ["{}", str({"key": value, "other": 2}), "{}"]
    assert [result["result"] for result in results] == [repr(value)] * 3


@pytest.mark.parametrize("length", [10 << 20, (1 << 20) - 8192 - 100])
def test_long_arguments_are_cut_and_marked(recording, base_id, length):
    profiler.init("key", base_id)
    traced_length = profiler.trace("x", hide_result=False)(lambda *args, **kwargs: args[0])
    assert len(traced_length("y" * length, "z" * length, key="k" * length)) == length
    (node,) = recording.report(base_id)["children"]
    function = node["info"]["meta.raw_payload.x-start"]["info"]["function"]
    assert function["args"].startswith("('yyy")
    assert function["args"].endswith("<cut>")
    assert len(function["args"]) + len(function["kwargs"]) <= 1 << 20
    assert recording.tree(base_id) == "x"
