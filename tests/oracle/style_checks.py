# SPDX-License-Identifier: Apache-2.0
"""Put lines to the style checks of the package that this interpreter has; print what they find, as JSON.

In: on standard input, a list of lines. Without the tool `hacking`, which no extra of either package brings, a check is
the function itself.
"""

import importlib.util
import io
import json
import sys
import tokenize
import types

if importlib.util.find_spec("hacking") is None:
    core = types.ModuleType("hacking.core")
    core.flake8ext = lambda function: function
    package = types.ModuleType("hacking")
    package.core = core
    sys.modules.update({"hacking": package, "hacking.core": core})

from osprofiler.hacking import checks


def found(line: str, noqa: bool) -> list:
    """Return what each check finds in a line."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(line + "\n").readline))
    except (tokenize.TokenError, IndentationError):
        tokens = []
    return [
        list(checks.check_quotes(line, "f.py", noqa)),
        list(checks.check_no_constructor_data_struct(line, "f.py", noqa)),
        list(checks.check_dict_formatting_in_string(line, tokens, noqa)),
        checks.check_raises(line, "f.py"),
    ]


lines = json.load(sys.stdin)
json.dump([[found(line, noqa) for noqa in (False, True)] for line in lines], sys.stdout)
