# SPDX-License-Identifier: Apache-2.0
"""A report seen in ways in which two recordings of the same request must be equal, whatever their ids and times are."""

import json
from collections import Counter

from demo import scenario


def starts_and_stops(node: dict) -> tuple[list[dict], list[dict]]:
    """Return a point's notifications by kind."""
    return scenario.payloads(node, "-start"), scenario.payloads(node, "-stop")


def notifications(report: dict) -> list[dict]:
    """Return all notifications of a report."""
    return [payload for node, _ in scenario.nodes(report) for kind in starts_and_stops(node) for payload in kind]


def assert_every_stop_has_its_start(report: dict) -> None:
    """Each point has one start and one stop, with the same ids, the stop not before the start."""
    for node, path in scenario.nodes(report):
        kinds = starts_and_stops(node)
        assert [len(kind) for kind in kinds] == [1, 1], path
        start, stop = (kind[0] for kind in kinds)
        for field in ("base_id", "trace_id", "parent_id"):
            assert start[field] == stop[field], (path, field)
        assert start["timestamp"] <= stop["timestamp"], path


def by_position(report: dict) -> Counter:
    """Count points by the names and services on the way to them."""
    return Counter(path for _, path in scenario.nodes(report))


def by_members(report: dict) -> Counter:
    """Count notifications by position and by the members of their info and of what is nested in it."""
    found = Counter()
    for node, path in scenario.nodes(report):
        for payload in notifications({"children": [{**node, "children": []}]}):
            info = payload["info"]
            nested = {key: sorted(value) for key, value in info.items() if isinstance(value, dict) and key != "params"}
            found[path, payload["name"], tuple(payload), json.dumps(sorted(info)), json.dumps(nested)] += 1
    return found


def by_statement(report: dict) -> Counter:
    """Count SQL statements by position."""
    return Counter(
        (path, payload["info"]["db"]["statement"])
        for node, path in scenario.nodes(report)
        for payload in scenario.payloads(node, "-start")
        if "db" in payload["info"]
    )


def by_request(report: dict) -> Counter:
    """Count HTTP requests by position."""
    return Counter(
        (path, json.dumps(payload["info"]["request"], sort_keys=True))
        for node, path in scenario.nodes(report)
        for payload in scenario.payloads(node, "-start")
        if "request" in payload["info"]
    )


VIEWS = (by_position, by_members, by_statement, by_request)
