# SPDX-License-Identifier: Apache-2.0
"""A real request through real services: complete, in one piece, and the same as upstream's profiler records."""

import json
from collections import Counter

import pytest

from demo import scenario

WSGI, DB = "wsgi", "db"
KEYSTONE, GLANCE = "public", "api"


def starts_and_stops(node: dict) -> tuple[list[dict], list[dict]]:
    """Return a point's notifications by kind."""
    return scenario.payloads(node, "-start"), scenario.payloads(node, "-stop")


def notifications(report: dict) -> list[dict]:
    """Return all notifications of a report."""
    return [payload for node, _ in scenario.nodes(report) for kind in starts_and_stops(node) for payload in kind]


def test_the_client_prints_its_table_as_ever(recorded_by_us):
    """Tracing changes nothing of what the user asked for."""
    assert "| demo-image | active |" in recorded_by_us.table


def test_over_a_thousand_notifications_come_from_both_services(recorded_by_us):
    """Keystone and Glance both record, SQL included."""
    services = Counter(payload["service"] for payload in notifications(recorded_by_us.report))
    assert set(services) == {KEYSTONE, GLANCE}
    assert sum(services.values()) > 1000


def test_every_stop_has_its_start(recorded_by_us):
    """Each point has one start and one stop, with the same ids, the stop not before the start."""
    for node, path in scenario.nodes(recorded_by_us.report):
        kinds = starts_and_stops(node)
        assert [len(kind) for kind in kinds] == [1, 1], path
        start, stop = (kind[0] for kind in kinds)
        for field in ("base_id", "trace_id", "parent_id"):
            assert start[field] == stop[field], (path, field)
        assert start["timestamp"] <= stop["timestamp"], path


def test_the_top_level_is_the_clients_own_requests(recorded_by_us):
    """No orphan: what has no parent in the trace was asked for by the client, whose id is the trace's."""
    top = recorded_by_us.report["children"]
    assert {node["parent_id"] for node in top} == {recorded_by_us.trace_id}
    assert Counter((node["info"]["service"], node["info"]["name"]) for node in top) == {
        (KEYSTONE, WSGI): 2,
        (GLANCE, WSGI): 1,
    }


def test_nothing_was_lost(recorded_by_us):
    """The report tells losses, and has none to tell."""
    assert "lost" not in recorded_by_us.report["info"]


def test_a_service_calls_another_inside_its_own_point(recorded_by_us):
    """Glance asks Keystone about the token: Keystone's point lies below Glance's, its SQL below that."""
    paths = {path for _, path in scenario.nodes(recorded_by_us.report)}
    assert ((GLANCE, WSGI), (KEYSTONE, WSGI), (KEYSTONE, DB)) in paths


def by_position(recorded) -> Counter:
    """Count points by the names and services on the way to them."""
    return Counter(path for _, path in scenario.nodes(recorded.report))


def by_members(recorded) -> Counter:
    """Count notifications by position and by the members of their info and of what is nested in it."""
    found = Counter()
    for node, path in scenario.nodes(recorded.report):
        for payload in notifications({"children": [{**node, "children": []}]}):
            info = payload["info"]
            nested = {key: sorted(value) for key, value in info.items() if isinstance(value, dict) and key != "params"}
            found[path, payload["name"], tuple(payload), json.dumps(sorted(info)), json.dumps(nested)] += 1
    return found


def by_statement(recorded) -> Counter:
    """Count SQL statements by position."""
    return Counter(
        (path, payload["info"]["db"]["statement"])
        for node, path in scenario.nodes(recorded.report)
        for payload in scenario.payloads(node, "-start")
        if "db" in payload["info"]
    )


def by_request(recorded) -> Counter:
    """Count HTTP requests by position."""
    return Counter(
        (path, json.dumps(payload["info"]["request"], sort_keys=True))
        for node, path in scenario.nodes(recorded.report)
        for payload in scenario.payloads(node, "-start")
        if "request" in payload["info"]
    )


@pytest.mark.parametrize("view", [by_position, by_members, by_statement, by_request])
def test_upstream_records_the_same(view, recorded_by_us, recorded_by_upstream):
    """Same names, parents, counts, members, statements and requests as upstream 4.4.0 in a real Redis."""
    ours, upstreams = view(recorded_by_us), view(recorded_by_upstream)
    assert ours - upstreams == Counter()
    assert upstreams - ours == Counter()
    assert sum(ours.values()) > 0
