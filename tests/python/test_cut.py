# SPDX-License-Identifier: Apache-2.0
"""Texts of arguments, results and errors for notifiers made in Python: as long as in a store at most, and marked."""

import contextlib

import pytest
from osprofiler import profiler

MAX_BYTES = (1 << 20) - 8192
CUT = "<cut>"


@profiler.trace("x", hide_result=False)
def work(*args, result=None, error=None, **kwargs):
    if error is not None:
        raise error
    return result


class Long:
    """Its repr is long, and no ASCII."""

    def __repr__(self):
        return "\u20ac" * (2 << 20)


LONG = "y" * (3 << 20)


@pytest.fixture
def told(collected):
    """Return what calls the function in a trace, and returns what its start and stop tell of it."""
    profiler.init("key", "B")

    def call(*args, **kwargs):
        collected.clear()
        with contextlib.suppress(ValueError):
            work(*args, **kwargs)
        start, stop = (notification["info"] for notification in collected)
        return start["function"], stop

    return call


def assert_cut(text, begin):
    assert text.startswith(begin)
    assert text.endswith(CUT)
    assert MAX_BYTES - 3 <= len(text.encode("utf-8", "surrogatepass")) - len(CUT) <= MAX_BYTES


@pytest.mark.parametrize(
    ("argument", "begin"),
    [(LONG, "('yyy"), (Long(), "(\u20ac\u20ac"), ([LONG], "(['yyy"), (LONG.encode(), "(b'yyy")],
    ids=["text", "object", "list", "bytes"],
)
def test_a_long_argument_is_cut(told, argument, begin):
    function, _ = told(argument, "another", key="value")
    assert_cut(function["args"], begin)
    # There is no room for more in a store's info either.
    assert function["kwargs"] in ("{" + CUT, "{'key': 'value'" + CUT, "{'key'" + CUT)


def test_a_long_argument_by_keyword_is_cut(told):
    function, _ = told(1, key=LONG)
    assert function["args"] == "(1,)"
    assert_cut("(1,)" + function["kwargs"], "(1,){'key': 'yyy")


def test_many_short_arguments_are_cut(told):
    function, _ = told(*range(300_000))
    assert function["args"].startswith("(0, 1, 2")
    assert function["args"].endswith(CUT)
    assert len(function["args"]) < MAX_BYTES + 20


def test_a_long_result_is_cut(told):
    _, stop = told(result=LONG)
    assert_cut(stop["function"]["result"], "'yyy")


class Headless(str):
    """It has its own mind about its length and its parts."""

    def __len__(self):
        return 0

    def __getitem__(self, index):
        raise IndexError(index)


class Odd(ValueError):
    """Its text is of a class of its own."""

    def __str__(self):
        return Headless(LONG)


@pytest.mark.parametrize(
    ("error", "begin"),
    [
        (ValueError(LONG), "yyy"),
        # Fewer characters than there is room for bytes.
        (ValueError("\u20ac" * 1_000_000), "\u20ac\u20ac"),
        (ValueError("\udc80" * 1_000_000), "\udc80\udc80"),
        (Odd(), "yyy"),
    ],
    ids=["one byte", "three bytes", "half a pair", "of another class"],
)
def test_a_long_message_is_cut(told, error, begin):
    _, stop = told(error=error)
    assert_cut(stop["message"], begin)


@pytest.mark.parametrize("last", ["yy", "\u00e9"])
def test_a_message_that_just_fits_stays(told, last):
    message = "\u20ac" * (MAX_BYTES // 3) + last
    assert len(message.encode()) == MAX_BYTES
    _, stop = told(error=ValueError(message))
    assert stop["message"] == message


def test_what_fits_stays(told):
    text = "y" * (MAX_BYTES - 10)
    function, stop = told(text, result="z")
    assert function["args"] == f"('{text}',)"
    assert stop == {"function": {"result": "'z'"}, "host": stop["host"]}
