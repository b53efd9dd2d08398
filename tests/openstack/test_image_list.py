# SPDX-License-Identifier: Apache-2.0
"""A real request through real services: complete, in one piece, and the same as upstream's profiler records."""

from collections import Counter

import pytest
from views import VIEWS, assert_every_stop_has_its_start, notifications

from demo import scenario

WSGI, DB = "wsgi", "db"
KEYSTONE, GLANCE = "public", "api"


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
    assert_every_stop_has_its_start(recorded_by_us.report)


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


@pytest.mark.parametrize("view", VIEWS)
def test_upstream_records_the_same(view, recorded_by_us, recorded_by_upstream):
    """Same names, parents, counts, members, statements and requests as upstream 4.4.0 in a real Redis."""
    ours, upstreams = view(recorded_by_us.report), view(recorded_by_upstream.report)
    assert ours - upstreams == Counter()
    assert upstreams - ours == Counter()
    assert sum(ours.values()) > 0
