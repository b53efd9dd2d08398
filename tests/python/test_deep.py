# SPDX-License-Identifier: Apache-2.0
"""Traces deeper than Python's reader and writer of JSON can go: reports as dicts, and as the command writes them."""

import argparse
import contextlib
import datetime
import json
import os
import subprocess

import pytest
from osprofiler import _native, profiler
from osprofiler.cmd import commands
from osprofiler.drivers import base

DEPTH = 20_000


def depth(report):
    """Return how many points are below each other, the first of each level counted."""
    levels, nodes = 0, report["children"]
    while nodes:
        levels += 1
        nodes = nodes[0]["children"]
    return levels


def test_a_deep_report_is_a_dict(recording, base_id):
    profiler.init("key", base_id)
    for number in range(DEPTH):
        profiler.start("x", {"number": number})
    for _ in range(DEPTH):
        profiler.stop()
    report = recording.report(base_id)
    assert depth(report) == DEPTH
    assert report["stats"]["x"]["count"] == DEPTH
    assert report["children"][0]["info"]["meta.raw_payload.x-start"]["info"]["number"] == 0


VALUES = {
    "texts": ["", "plain", 'a"\\\n\t/', "\u00e9\U0001f511", "\ud800", "\x00"],
    "numbers": [0, -1, 2**63 - 1, -(2**63), 2**70, 0.1, -1e300, 1e16, float("inf"), float("-inf")],
    "others": [None, True, False, [], {}, [[]], [{}], {"": {"a": [1, {"b": 2}]}}],
    'odd "keys"\n': {"\u00e9": 1, "a": 1, "1": 2},
}


def test_each_value_is_what_pythons_reader_makes_of_it(recording, base_id):
    profiler.init("key", base_id)
    with profiler.Trace("x", info=VALUES):
        pass
    (node,) = recording.report(base_id)["children"]
    told = node["info"]["meta.raw_payload.x-start"]["info"]
    del told["host"]
    assert told == VALUES
    assert repr(told) == repr(VALUES)


def test_what_is_no_number_stays_none(recording, base_id):
    profiler.init("key", base_id)
    with profiler.Trace("x", info={"nan": float("nan")}):
        pass
    (node,) = recording.report(base_id)["children"]
    assert repr(node["info"]["meta.raw_payload.x-start"]["info"]["nan"]) == "nan"


@pytest.mark.parametrize("instead", ["", '"', "\\", "\\u", "{", "}", "[", "]", ",", ":", "-", "0", "\u00e9", "\x00"])
def test_what_is_no_json_gives_some_value_or_an_error_and_no_panic(instead):
    text = json.dumps(VALUES)
    for at in range(len(text)):
        for broken in (text[:at] + instead, text[:at] + instead + text[at + 1 :]):
            # A panic is another kind of error.
            with contextlib.suppress(ValueError):
                _native.from_json(broken)


class Chain(base.Driver):
    """A driver made in Python, whose traces are chains as deep as their ids say."""

    @classmethod
    def get_name(cls):
        return "chain"

    def get_report(self, base_id):
        for number in range(int(base_id)):
            ids = {"trace_id": f"id {number}", "parent_id": f"id {number - 1}" if number else "B"}
            service = {"project": "p", "service": "s"}
            timestamp = f"2026-01-01T00:00:00.{number:06}"
            for end in ("start", "stop"):
                raw = {"name": f"x-{end}", "base_id": "B", **ids, **service, "timestamp": timestamp}
                raw["info"] = {"host": "h", "date": datetime.date(2026, 1, 1)}
                self._append_results(*ids.values(), raw["name"], *service.values(), "h", timestamp, raw)
        return self._parse_results()


def shown(trace, tmp_path, **options):
    """Return what the command writes of a trace."""
    arguments = dict.fromkeys(("use_json", "use_html", "use_dot", "local_libs", "render_dot_filename"))
    arguments |= {"conn_str": "chain://", "trace": trace, "file_name": str(tmp_path / "report"), **options}
    commands.TraceCommands().show(argparse.Namespace(**arguments))
    return (tmp_path / "report").read_text()


@pytest.mark.parametrize("form", ["use_json", "use_html", "use_dot"])
def test_a_driver_made_in_python_shows_a_deep_trace(tmp_path, form):
    text = shown(str(DEPTH), tmp_path, **{form: True})
    assert text.count('"trace_id": "id ' if form != "use_dot" else "->") >= DEPTH - 1
    assert len(text) < DEPTH * 10_000


def test_a_deep_report_that_was_shown_has_all_points(tmp_path):
    """Read by the native command, whose reader is another."""
    shown(str(DEPTH), tmp_path, use_json=True)
    (tmp_path / "report").rename(tmp_path / "report.json")
    command = [os.environ["OSPROFILER_BIN"], "trace", "show", tmp_path / "report.json", "--dot"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.count("->") == DEPTH


REPORTS = [
    {},
    {"a": []},
    {"a": {}, "b": [1, [2, (3, {})], "x\u00e9"], "c": None},
    {7: True, None: 1.5, True: [[]], "d": {"e": {"f": datetime.date(2026, 1, 2), "g": {1}}}},
]


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("indent", [None, 2, 4])
def test_a_report_is_written_as_pythons_writer_does(report, indent):
    expected = json.dumps(report, indent=indent, separators=(",", ": "), default=commands._other)
    assert commands._json(report, indent) == expected


def test_a_report_that_holds_itself_is_refused():
    report = {"children": []}
    report["children"].append(report)
    with pytest.raises(ValueError, match="holds itself"):
        commands._json(report, 2)
