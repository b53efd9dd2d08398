# SPDX-License-Identifier: Apache-2.0
"""``trace show`` and ``trace list`` for drivers that are made in Python: what the native command cannot ask itself.

The driver gives a report or a list, and this module writes it in upstream's forms; the native command draws the graph.
"""

import functools
import json
import os
import tempfile

from osprofiler import _native, exc
from osprofiler.cmd import cliutils
from osprofiler.drivers import base

#: The variable that holds the connection string where the command line has none.
CONNECTION_STRING = "OSPROFILER_CONNECTION_STRING"
_FIELDS = ("base_id", "timestamp")
# From so many levels on nothing is indented, as in the native command: the size would grow with the depth's square.
_DEEPEST_INDENTED = 1024


class BaseCommand:
    """A group of commands: each public method is one, and its ``arguments`` are the command line's."""

    group_name = None


class TraceCommands(BaseCommand):
    """``osprofiler trace ...``."""

    group_name = "trace"

    @cliutils.arg("trace")
    @cliutils.arg("--connection-string", dest="conn_str")
    @cliutils.arg("--transport-url", dest="transport_url")
    @cliutils.arg("--idle-timeout", dest="idle_timeout", type=int, default=1)
    @cliutils.arg("--json", dest="use_json", action="store_true")
    @cliutils.arg("--html", dest="use_html", action="store_true")
    @cliutils.arg("--dot", dest="use_dot", action="store_true")
    @cliutils.arg("--local-libs", dest="local_libs", action="store_true")
    @cliutils.arg("--render-dot", dest="render_dot_filename")
    @cliutils.arg("--out", "-o", dest="file_name")
    def show(self, args):
        """Write the report of a trace."""
        report = _driver(args).get_report(args.trace)
        if not report or not report.get("children"):
            raise exc.CommandError(
                f"Trace with UUID {args.trace} not found. Please check the HMAC key used in the command."
            )
        if args.use_json:
            _write(_json(report, 2), args.file_name)
        elif args.use_html:
            with open(os.path.join(os.path.dirname(__file__), "template.html")) as template:
                page = template.read()
            # In one step: what a report holds is nobody's placeholder.
            before, data, after = page.partition("$DATA")
            local = "true" if args.local_libs else "false"
            filled = _json(report, 4) if data else ""
            _write(before.replace("$LOCAL", local) + filled + after.replace("$LOCAL", local), args.file_name)
        elif args.use_dot:
            _draw(report, args)
        else:
            raise exc.CommandError("You should choose one of the following output formats: json, html or dot.")

    @cliutils.arg("--connection-string", dest="conn_str")
    @cliutils.arg("--error-trace", dest="error_trace", action="store_true")
    def list(self, args):
        """Write a table of the traces."""
        driver = _driver(args)
        traces = driver.list_error_traces() if args.error_trace else driver.list_traces(set(_FIELDS))
        rows = [_FIELDS, *([str(trace.get(field, "")) for field in _FIELDS] for trace in traces)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        line = "+".join(["", *("-" * (width + 2) for width in widths), ""])
        head, *others = (f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows)
        print("\n".join([line, head, line, *others, *([line] if others else [])]))


def _driver(args):
    try:
        return base.get_driver(args.conn_str, **vars(args))
    except Exception as error:
        raise exc.CommandError(_native.mask_text(str(error), args.conn_str)) from error


def _json(report, indent):
    """Return the report as ``json.dumps`` writes it, however deep it is."""
    pieces = []
    # Of each container that is open: what is left of it, its other bracket, and which it is.
    waiting = []

    def break_line():
        if indent is not None and len(waiting) <= _DEEPEST_INDENTED:
            pieces.append("\n" + " " * (indent * len(waiting)))

    def begin(value):
        if not (value and isinstance(value, (dict, list, tuple))):
            pieces.append(encode(value))
            return False
        if id(value) in around:
            raise ValueError("the report holds itself")
        around.add(id(value))
        is_dict = isinstance(value, dict)
        pieces.append("{" if is_dict else "[")
        members = ((_key(key), held) for key, held in value.items()) if is_dict else (("", held) for held in value)
        waiting.append((members, "}" if is_dict else "]", id(value)))
        return True

    around = set()
    encode = json.JSONEncoder(default=_other).encode
    is_first = begin(report)
    while waiting:
        members, bracket, identity = waiting[-1]
        for key, value in members:
            pieces.append("" if is_first else ",")
            break_line()
            pieces.append(key)
            is_first = begin(value)
            break
        else:
            waiting.pop()
            around.remove(identity)
            break_line()
            pieces.append(bracket)
            is_first = False
    return "".join(pieces)


@functools.lru_cache(1024, typed=True)
def _key(key):
    # `json` turns some that are no text into such.
    return json.dumps({key: 0})[1:-2]


def _other(value):
    return value.isoformat() if hasattr(value, "isoformat") else repr(value)


def _write(text, file_name):
    if file_name:
        with open(file_name, "w+") as file:
            file.write(text)
    else:
        print(text)


def _draw(report, args):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "report.json")
        _write(_json(report, None), path)
        options = []
        if args.render_dot_filename:
            options += ["--render-dot", args.render_dot_filename]
        if args.file_name:
            options += ["--out", args.file_name]
        if _native.run_command(["trace", "show", path, "--dot", *options]):
            raise exc.CommandError("the graph was not written")
