# SPDX-License-Identifier: Apache-2.0
"""The style checks of `osprofiler.hacking` find what upstream's find, line by line."""

import itertools
import json
import os
import subprocess
from pathlib import Path

import pytest

QUOTES = [
    "a = 'b'",
    'a = "b"',
    'a = "it\'s"',
    "a = 1  # it's",
    '"""it\'s"""',
    "'''a'''",
    "a = \"x\" + 'y'",
    'a = "\\"" + \'y\'',
    "f(\"#\", 'a')",
    "x = ''",
    '"""a""" + \'b\'',
    "'",
    "",
    '"""',
]
CONTAINERS = [
    "a = dict()",
    "a = list()",
    "a = dict(b=1)",
    "a = [list()]",
    "a = my_dict()",
    "dict()",
    "return list() or dict()",
    "a = dict ()",
]
FORMATS = [
    '"%(a)s" % {"a": 1}',
    '"%(a)s %(b)s" % {"a": 1, "b": 2}',
    '"%(a)s %(a)s" % {"a": 1}',
    '"%(a)s" "%(b)s" % c',
    '("%(a)d"\n "%(a)s" % c)',
    '"%s" % a',
    '"%(a)" % b',
    '"%%(a)s" % b',
    '"%(a)05.2f" % b',
    'f("%(a)s") % b',
    '"%(a)s" + c % d',
    'x = "%(a)s"; y = 5 % 3',
    'a % "%(b)s"',
    '"%(a)s" % (b)',
    '_("%(a)s") % c',
]
DOCSTRINGS = [
    ":raises ValueError: if it is bad",
    ":raises: ValueError",
    ":raise ValueError: if",
    ":raises ValueError",
    ":raises",
    "raises ValueError",
    "text :raises: x",
    ":raises a.b.C: d",
    ":raises  ValueError: if",
    ":raises : x",
    ":raised x: y",
    ":returns: x",
]
ALL = QUOTES + CONTAINERS + FORMATS + DOCSTRINGS
LINES = [indentation + line for indentation, line in itertools.product(("", "    "), ALL)]


def found(python: str) -> list:
    """Return what the checks of an interpreter's package find."""
    script = Path(__file__).with_name("style_checks.py")
    ended = subprocess.run([python, script], input=json.dumps(LINES), capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def both() -> dict:
    """Return what ours and upstream's find, by line."""
    ours, theirs = (found(os.environ[name]) for name in ("OSPROFILER_PYTHON", "OSPROFILER_UPSTREAM_PYTHON"))
    return {line: (one, other) for line, one, other in zip(LINES, ours, theirs, strict=True)}


@pytest.mark.parametrize("line", LINES)
def test_a_line_is_judged_alike(both: dict, line: str) -> None:
    """With and without `noqa`."""
    ours, theirs = both[line]
    assert ours == theirs
