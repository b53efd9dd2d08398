# SPDX-License-Identifier: Apache-2.0
"""Checks of Python style for ``flake8`` with ``hacking``.

* N350 quotes
* N351 empty containers by their literals
* N352 no mapping in ``%``-formatting with a single key
* N354 ``:raises`` in docstrings
"""

import re
import tokenize

try:
    from hacking.core import flake8ext as _flake8ext
except ImportError:

    def _flake8ext(function):
        """Without ``hacking`` a check is just a function with the attributes that flake8 looks for."""
        function.name = function.__name__
        function.version = "0.0.1"
        function.skip_on_py3 = False
        return function


_EMPTY_CONTAINERS = (
    (re.compile(r"\sdict\(\)"), "N351 Remove dict() construct and use literal {}"),
    (re.compile(r"\slist\(\)"), "N351 Remove list() construct and use literal []"),
)
# A key in parentheses, then flags, width, precision and length, then the letter of a conversion.
_MAPPING_KEY = re.compile(r"%\(([^)]+)\)[-#0 +]?-?\d*(?:\.\d*)?[hlL]?[A-Za-z%]")
# Inside a line, a field that is no `:raises`, or one without an exception or a condition.
_BAD_RAISES = re.compile(r"\s:raise(?:[^s]|s *:|s *[^: ][^:]*$)")


@_flake8ext
def check_quotes(logical_line, filename, noqa=False):
    """N350: string literals stand in double quotes."""
    if noqa:
        return
    in_string = in_multiline = False
    position = 0
    while position < len(logical_line):
        if logical_line.startswith('"""', position) and not in_string:
            in_multiline = not in_multiline
            position += 3
            continue
        character = logical_line[position]
        if not in_multiline:
            if character == '"' and logical_line[position - 1 : position] != "\\":
                in_string = not in_string
            elif character == "#" and not in_string:
                return
            elif character == "'" and not in_string:
                yield position, "N350 Remove Single quotes"
                return
        position += 1


@_flake8ext
def check_no_constructor_data_struct(logical_line, filename, noqa=False):
    """N351: empty dicts and lists are written as literals."""
    if noqa:
        return
    for pattern, message in _EMPTY_CONTAINERS:
        if pattern.search(logical_line):
            yield 0, message


@_flake8ext
def check_dict_formatting_in_string(logical_line, tokens, noqa=False):
    """N352: ``%``-formatting takes a mapping only for more than one key."""
    if noqa:
        return
    text = ""
    for token_type, token, _, _, _ in tokens:
        if token_type == tokenize.STRING:
            text += token
        elif text and token_type == tokenize.OP and token == "%":
            keys = set(_MAPPING_KEY.findall(text))
            if len(keys) == 1:
                yield 0, "N352 Do not use mapping key string formatting with a single key"
                return
            text = ""
        elif token_type not in (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT) and token not in ("(", ")"):
            text = ""


@_flake8ext
def check_raises(physical_line, filename):
    """N354: docstrings say ``:raises Exception: conditions``."""
    if _BAD_RAISES.search(physical_line):
        return 0, "N354 ':Please use ':raises Exception: conditions' in docstrings."
    return None
