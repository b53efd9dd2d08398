# SPDX-License-Identifier: Apache-2.0
"""Any value in a point's info becomes JSON text, bounded, and raises nothing."""

import collections
import datetime
import decimal
import json
import math
import uuid

import pytest
from osprofiler import _native


class Unprintable:
    """Its repr raises."""

    def __repr__(self):
        raise RuntimeError("repr failed")


class Growing:
    """Its repr changes the container that it is in."""

    def __init__(self, container):
        self.container = container

    def __repr__(self):
        if isinstance(self.container, dict):
            self.container[len(self.container)] = self
        elif len(self.container) < 100:
            self.container.append(self)
        return "growing"


def read(value):
    """Return what a reader of the store sees of a value."""
    return json.loads(_native.info_json({"value": value}))["value"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a"\\\n\x7f\u00e9\U0001f511', '"a\\"\\\\\\n\\u007f\\u00e9\\ud83d\\udd11"'),
        ("\ud800x", '"\\ud800x"'),
        (2**70, str(2**70)),
        (-(2**63), str(-(2**63))),
        (True, "true"),
        (None, "null"),
        (1.0, "1.0"),
        (1e16, "1e+16"),
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        ((1, [2, {}]), "[1, [2, {}]]"),
        ({1: 2, None: 3, False: 4, 1.5: 5, (6,): 7}, '{"1": 2, "null": 3, "false": 4, "1.5": 5, "(6,)": 7}'),
        (datetime.datetime(2026, 1, 2, 3, 4, 5), '"2026-01-02T03:04:05.000000"'),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        (datetime.timedelta(days=1), '"datetime.timedelta(days=1)"'),
        (decimal.Decimal("1.50"), '"1.50"'),
        (uuid.UUID(int=5), '"00000000-0000-0000-0000-000000000005"'),
        (b"abc", '"abc"'),
        (b"\xff\x00", '"/wA="'),
        (bytearray(b"ab"), "[97, 98]"),
        (memoryview(b"ab"), "[97, 98]"),
        ({7}, "[7]"),
        (frozenset(), "[]"),
        (collections.deque([1]), "[1]"),
        (collections.OrderedDict(b=1, a=2), '{"b": 1, "a": 2}'),
        (ValueError("x"), "\"ValueError('x')\""),
        (ValueError, "\"<class 'ValueError'>\""),
        (Unprintable(), '"<unprintable Unprintable object>"'),
        (10**5000, '"<int of too many digits>"'),
    ],
    ids=lambda value: type(value).__name__,
)
def test_text(value, text):
    assert _native.info_json({"value": value}) == f'{{"value": {text}}}'


def test_a_host_in_the_info_is_left_out():
    assert _native.info_json({"host": "liar", "a": 1}) == '{"a": 1}'


@pytest.mark.parametrize("info", [None, {}])
def test_no_info_is_an_empty_object(info):
    assert _native.info_json(info) == "{}"


def test_an_info_that_is_no_dict_is_kept():
    assert _native.info_json(["a"]) == '{"info": ["a"]}'


def test_cycles_are_marked():
    cycle = [1]
    cycle.append({"again": cycle})
    assert read(cycle) == [1, {"again": "<cycle>"}]


def test_a_container_twice_is_no_cycle():
    twice = [1]
    assert read([twice, twice]) == [[1], [1]]


def test_levels_are_bounded():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    text = _native.info_json({"value": nested})
    assert "<cut>" in text
    assert text.count("[") == 15


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10_000_000,
        "\u00e9" * 10_000_000,
        "\ud800" * 2_000_000,
        b"x" * 10_000_000,
        b"\xff" * 10_000_000,
        bytearray(10_000_000),
        list(range(1_000_000)),
        {number: None for number in range(1_000_000)},
        {"x" * 2_000_000: {"y" * 2_000_000: "z"}},
        [["x" * 100_000] * 100] * 100,
    ],
    ids=range(10),
)
def test_size_is_bounded_and_told(value):
    text = _native.info_json({"first": 1, "value": value, "last": 2})
    assert len(text) < 1 << 20
    assert "<cut>" in text
    assert json.loads(text)["first"] == 1


def test_an_iterator_is_not_consumed():
    iterator = iter([1, 2])
    assert "list_iterator" in read(iterator)
    assert list(iterator) == [1, 2]


def test_a_container_may_change_while_it_is_read():
    growing = []
    growing.append(Growing(growing))
    assert set(read(growing)) == {"growing"}
    members = {}
    members["a"] = Growing(members)
    assert read(members)["a"] == "growing"


def test_a_recursive_repr_is_told_as_unprintable():
    class Deep:
        def __repr__(self):
            return repr([self])

    assert read(Deep()) == "<unprintable Deep object>"


def test_what_is_no_exception_belongs_to_the_program():
    class Interrupting:
        def __repr__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _native.info_json({"value": Interrupting()})
