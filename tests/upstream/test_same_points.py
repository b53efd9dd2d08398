# SPDX-License-Identifier: Apache-2.0
"""What becomes a point, and how often: the same program says the same under upstream's package and ours.

The program decorates classes and objects in every way and tells, of each attribute, how often it is traced where. What
upstream does wrong (class methods, properties of objects) is in none of the cases.
"""

import json
import os
import subprocess

import pytest

OURS = os.environ["OSPROFILER_PYTHON"]
UPSTREAM = os.environ["OSPROFILER_UPSTREAM_PYTHON"]

PROGRAM = """
import abc, functools, itertools, json
from osprofiler import notifier, profiler

told = []


def notify(notification):
    # Told at once: upstream changes the dict later.
    told.append([notification["name"], json.loads(json.dumps(notification["info"].get("function")))])


notifier.set(notify)
results = {}


def make():
    class Root:
        def inherited(self):
            return "root"

        def overridden(self):
            return "root"

        def _private(self):
            return 1

    class Owner(Root):
        attribute = 7
        function_elsewhere = len

        def __init__(self):
            self.own = 1

        def __len__(self):
            return 1

        def method(self, a=1):
            return a

        def overridden(self):
            return super().overridden()

        def _private_too(self):
            return 1

        def __mangled(self):
            return 1

        @staticmethod
        def static(a=1):
            return a

        @staticmethod
        def _private_static(a=1):
            return a

        partial = functools.partialmethod(method, 2)
        lambda_ = lambda self: 1

        class Nested:
            pass

    return Root, Owner


def counts(*owners):
    return [
        {
            name: getattr(getattr(owner, name), "__traced__", 0)
            for name in dir(owner)
            if not name.startswith("__") and name != "partial"
        }
        for owner in owners
    ]


def attempt(key, work):
    del told[:]
    profiler.init("key", base_id="B")
    try:
        result = work()
    except Exception as error:
        result = [type(error).__name__, str(error).partition(" at 0x")[0].partition(" - ")[0]]
    profiler.clean()
    results[key] = [result, list(told)]


for private, static, hide in itertools.product([False, True], repeat=3):
    options = {"trace_private": private, "trace_static_methods": static, "hide_args": hide}

    def decorated_class(again=False, **more):
        root, owner = make()
        assert profiler.trace_cls("x", **options)(owner) is owner
        if again:
            profiler.trace_cls("y", **options, **more)(owner)
        return root, owner

    def call(instance):
        return [
            instance.method(3), instance.overridden(), instance.inherited(), instance._private(),
            instance._private_too(), instance.static(4), instance._Owner__mangled(), instance.lambda_(), len(instance),
        ]

    def of_class():
        root, owner = decorated_class()
        values = call(owner())
        for notification in told:
            if notification[1] and "args" in notification[1]:
                notification[1]["args"] = notification[1]["args"].count(",")
        return [counts(root, owner), values, owner.static(5), root().inherited()]

    def of_object():
        root, owner = make()
        instance = owner()
        assert profiler.trace_cls("x", **options)(instance) is instance
        # A static method of an object is told with its class's way of calling; both call it the same.
        values = call(instance)
        for notification in told:
            if notification[1]:
                notification[1].pop("args", None)
        return [counts(root, owner), sorted(vars(instance)), values]

    key = json.dumps(options)
    attempt("class " + key, of_class)
    attempt("object " + key, of_object)
    attempt("again " + key, lambda: counts(*decorated_class(again=True)))
    attempt("refused " + key, lambda: counts(*decorated_class(again=True, allow_multiple_trace=False)))


def meta(arguments, base=profiler.TracedMeta):
    class Managed(metaclass=base):
        __trace_args__ = arguments

        def method(self, a):
            return a

        def _private(self):
            return 1

        def __hidden(self):
            return 1

        @staticmethod
        def static():
            return 1

        @classmethod
        def of_class(cls):
            return 1

        @profiler.trace("inner")
        def twice(self):
            return 1

    class Derived(Managed):
        def method(self, a):
            return super().method(a)

        def new(self):
            return 1

    instance = Derived()
    values = [instance.method(1), instance._private(), instance._Managed__hidden(), instance.static(),
              instance.of_class(), instance.twice(), instance.new()]
    for notification in told:
        if notification[1]:
            notification[1].pop("args", None)
    return [values, counts(Managed, Derived)]


class Both(profiler.TracedMeta, abc.ABCMeta):
    pass


for arguments in (
    {"name": "m"},
    {"name": "m", "info": {"a": 1}, "hide_args": True, "hide_result": False},
    {"name": "m", "trace_private": True},
    {"name": "m", "allow_multiple_trace": False},
    {"name": "m", "unknown": 1},
    {"info": {}},
    {},
):
    for base in (profiler.TracedMeta, Both):
        attempt(f"{base.__name__} {json.dumps(arguments)}", lambda: meta(arguments, base))


def functions():
    def function(a=1):
        return a

    first = profiler.trace("first")(function)
    second = profiler.trace("second", hide_result=False)(first)
    third = profiler.trace("third", allow_multiple_trace=True)(function)
    counted = [f.__traced__ for f in (function, first, second, third)]
    values = [second(2), third(a=3), first()]
    try:
        profiler.trace("fourth", allow_multiple_trace=False)(third)
    except ValueError as error:
        refused = str(error).partition(" at 0x")[0]
    return [counted, values, refused, second.__name__, second.__wrapped__ is first]


attempt("functions", functions)
for info in (None, {}, {"a": 1}, {"function": "mine", "b": [1]}):
    attempt(f"info {info}", lambda: profiler.trace("x", info=info)(lambda a, b=2: a)(1, b=3))
attempt("info without copy", lambda: profiler.trace("x", info=7)(lambda: 1)())
for error in (ValueError(), ValueError("bad", 2), KeyError("k"), OSError(2, "No such file"), StopIteration(1)):
    def fail():
        raise error

    attempt(f"error {error!r}", lambda: profiler.trace("x")(fail)())
print(json.dumps(results))
"""


def said(python):
    """Return what the program says, by case."""
    ran = subprocess.run([python, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def ours():
    """Return what ours says."""
    return said(OURS)


@pytest.fixture(scope="module")
def theirs():
    """Return what upstream's says."""
    return said(UPSTREAM)


def test_the_same_is_traced_as_often(ours, theirs):
    assert len(theirs) > 50
    assert list(ours) == list(theirs)
    assert [key for key in theirs if ours[key] != theirs[key]] == []
