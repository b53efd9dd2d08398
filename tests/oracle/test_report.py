# SPDX-License-Identifier: Apache-2.0
"""The same notifications in the same order give the same JSON, to the byte; where upstream errs, ours is the better."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import random_traces
from random_traces import RANDOM, RECORDED

Report = Callable[[Path], str]


def first_difference(ours: str, theirs: str) -> str:
    """Return the first lines that are not the same, for a message that can be read."""
    for number, (one, other) in enumerate(zip(ours.splitlines(), theirs.splitlines(), strict=False), 1):
        if one != other:
            return f"line {number}: {one.strip()[:200]!r} instead of {other.strip()[:200]!r}"
    return f"{len(ours)} characters instead of {len(theirs)}"


@pytest.mark.parametrize("name", [path.stem for path in RECORDED])
@pytest.mark.parametrize("order", ["", "-newest-first"])
def test_a_recorded_trace_gives_upstreams_bytes(traces: Path, ours: Report, name: str, order: str) -> None:
    """Real requests, as recorded and newest first."""
    path = traces / f"{name}{order}.jsonl"
    mine, theirs = ours(path), path.with_suffix(".upstream.json").read_text(encoding="utf-8")
    assert mine == theirs, first_difference(mine, theirs)


@pytest.mark.parametrize("decade", range(RANDOM // 10))
def test_a_random_trace_gives_upstreams_bytes(traces: Path, ours: Report, decade: int) -> None:
    """Duplicates, missing ends, orphans, ties, negative durations, odd values."""
    for number in range(10 * decade, 10 * decade + 10):
        path = traces / f"random-{number:03}.jsonl"
        mine, theirs = ours(path), path.with_suffix(".upstream.json").read_text(encoding="utf-8")
        assert mine == theirs, f"{path.name}: {first_difference(mine, theirs)}"


def event(name: str, trace_id: str, parent_id: str, millis: int) -> dict:
    """Return a plain notification."""
    return {
        "name": name,
        "base_id": "B",
        "trace_id": trace_id,
        "parent_id": parent_id,
        "timestamp": random_traces.timestamp(1000 * millis),
        "info": {"host": "h1"},
        "project": "proj",
        "service": "svc",
    }


def nodes(report: dict) -> list[dict]:
    """Return all points of a report, without recursion."""
    found, rest = [], list(report["children"])
    while rest:
        node = rest.pop()
        found.append(node)
        rest.extend(node["children"])
    return found


def shown(tmp_path: Path, ours: Report, text: str) -> dict:
    """Return our report of some lines."""
    path = tmp_path / "trace.jsonl"
    path.write_text(text, encoding="utf-8")
    return json.loads(ours(path))


def test_a_cycle_of_parents_is_shown(tmp_path: Path, ours: Report) -> None:
    """Upstream leaves out cycles and all that hangs below them."""
    events = [
        event("a-start", "1", "2", 1),
        event("b-start", "2", "1", 0),
        event("c-start", "3", "3", 2),
        event("d-start", "4", "1", 3),
    ]
    report = shown(tmp_path, ours, random_traces.lines(events))
    assert {node["trace_id"] for node in nodes(report)} == {"1", "2", "3", "4"}
    assert [node["trace_id"] for node in report["children"]] == ["2", "3"]
    assert all(node["info"]["cycle"] is True for node in report["children"])
    assert report["info"]["cycles"] == 2


def test_a_name_keeps_its_hyphens(tmp_path: Path, ours: Report) -> None:
    """Upstream cuts names at the first one."""
    events = [event("vif-driver-start", "1", "B", 0), event("vif-driver-stop", "1", "B", 2)]
    report = shown(tmp_path, ours, random_traces.lines(events))
    assert report["children"][0]["info"]["name"] == "vif-driver"
    assert report["stats"] == {"vif-driver": {"count": 1, "duration": 2}}


def test_what_is_no_notification_is_skipped_and_counted(tmp_path: Path, ours: Report) -> None:
    """Upstream fails as a whole."""
    good = random_traces.lines([event("a-start", "1", "B", 0), event("a-stop", "1", "B", 5)])
    bad = [
        json.dumps(event("a-start", "1", "B", 0) | {"timestamp": "2026-01-01T00:00:00Z"}),
        json.dumps(event("a-start", "1", "B", 0) | {"timestamp": "2026-01-01T00:00:00"}),
        json.dumps({"name": "a-start"}),
        "junk",
        '{"name": "a-st',
    ]
    report = shown(tmp_path, ours, good + "\n".join(bad))
    assert report["info"]["skipped"] == len(bad)
    assert len(report["children"]) == 1


def test_a_chain_deeper_than_upstream_can_report(tmp_path: Path, ours: Report) -> None:
    """Upstream ends in a RecursionError; a saved report of ours is as deep."""
    depth = 20_000
    events = [event("p-start", str(number), str(number - 1) if number else "B", number) for number in range(depth)]
    path = tmp_path / "chain.jsonl"
    path.write_text(random_traces.lines(events), encoding="utf-8")
    report = ours(path)
    assert report.count('"children": [') == depth + 1
    path.with_suffix(".json").write_text(report, encoding="utf-8")
    assert ours(path.with_suffix(".json")) == report


def test_a_saved_report_gives_the_same_report(traces: Path, ours: Report) -> None:
    """Upstream's saved reports come back as they were."""
    for name in ("image-list", "server-show"):
        theirs = traces / f"{name}.upstream.json"
        assert ours(theirs) == theirs.read_text(encoding="utf-8"), name
