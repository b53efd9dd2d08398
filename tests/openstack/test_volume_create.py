# SPDX-License-Identifier: Apache-2.0
"""`openstack volume create` with profiling, over HTTP and RPC: one trace of four services, as upstream records it.

Cinder answers before it has done what it was asked for. The trace is complete when the volume can be used, the two
processes that work behind the API have ended their outermost points, and a later request of the two that answer HTTP
has reached the store: each process stores in order.
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import volumes
from conftest import Recorded
from views import VIEWS, assert_every_stop_has_its_start, by_position, notifications
from volumes import SECONDS, Volumes

from demo import scenario
from demo.client import Client, trace_headers
from house.environments import Environment
from house.failure import Failure
from house.process import capture
from house.waiting import wait_until
from servers import mariadb, rabbitmq
from servers.redis import Redis

KEYSTONE, API, SCHEDULER, VOLUME = "public", "cinder-api", "cinder-scheduler", "cinder-volume"
WSGI, DB, RPC, DRIVER = "wsgi", "db", "rpc", "driver"


class Reader:
    """Reads reports out of a store with the command of whoever wrote it."""

    def __init__(self, command: Path, store: str, log: Path):
        """Keep what it takes."""
        self.command = command
        self.store = store
        self.log = log

    def report(self, trace_id: str) -> dict | None:
        """Return a trace's report, None as long as the store has nothing of it."""
        try:
            output = capture([self.command, *scenario.show("--json", trace_id, self.store)], self.log)
        except Failure:
            return None
        return json.loads(output.data)

    def await_ended(self, trace_id: str, wanted: set[tuple[str, str]]) -> dict:
        """Return a trace's report once it has points of these services and names, all of them ended."""
        seen: list[dict | None] = []

        def ended() -> bool:
            seen[:] = [self.report(trace_id)]
            done = Counter()
            for node, path in scenario.nodes(seen[0] or {"children": []}):
                done[path[-1], bool(scenario.payloads(node, "-stop"))] += 1
            return all(done[which, True] and not done[which, False] for which in wanted)

        wait_until(ended, f"trace {trace_id} to be complete", SECONDS, self.log)
        return seen[0]


def record(environment: Environment, template: Path, folder: Path, store: str, command: Path) -> Recorded:
    """Create a volume with the profiler of an environment, after one like it has warmed things up."""
    with Volumes(environment, template, folder, store) as running:
        client, reader = Client(running), Reader(command, store, folder / "report.log")
        running.create("first")
        recording = client.profile("volume", "create", "--size", "1", "second")
        running.await_available("second")
        running.log_in()
        later = str(uuid.uuid4())
        running.get("volumes", trace_headers(later))
        reader.await_ended(later, {(API, WSGI), (KEYSTONE, WSGI)})
        report = reader.await_ended(recording.trace_id, {(SCHEDULER, RPC), (VOLUME, RPC)})
    return Recorded(recording.output.data, recording.trace_id, report)


@pytest.fixture(scope="module")
def prepared(upstream) -> Path:
    """Return the prepared data of Keystone and Cinder."""
    return volumes.prepared(upstream)


@pytest.fixture(scope="module")
def recorded(ours, prepared, command, tmp_path_factory) -> Recorded:
    """Record with our wheel into SQLite."""
    folder = tmp_path_factory.mktemp("ours")
    return record(ours, prepared, folder / "cloud", f"sqlite://{folder}/traces.db", command)


@pytest.fixture(scope="module")
def recorded_by_upstream(upstream, prepared, tmp_path_factory) -> Iterator[Recorded]:
    """Record with upstream's profiler into a real Redis."""
    folder = tmp_path_factory.mktemp("upstream")
    with Redis(folder / "redis") as redis:
        yield record(upstream, prepared, folder / "cloud", redis.url, upstream.program("osprofiler"))


def test_the_client_prints_its_table_as_ever(recorded):
    """Tracing changes nothing of what the user asked for."""
    told = {tuple(cell.strip() for cell in line.split("|")[1:3]) for line in recorded.table.splitlines() if "|" in line}
    assert {("name", "second"), ("status", "creating"), ("size", "1")} <= told


def test_four_services_record_http_rpc_driver_and_sql(recorded, capsys):
    """Cinder 29 itself does not trace its SQL."""
    kinds = Counter(path[-1] for _, path in scenario.nodes(recorded.report))
    with capsys.disabled():
        print(f"\n  trace {recorded.trace_id} of `openstack volume create`, points by service and kind:")
        for (service, kind), count in sorted(kinds.items()):
            print(f"  {service:16} {kind:7} {count:5}")
    assert set(kinds) == {
        (KEYSTONE, WSGI),
        (KEYSTONE, DB),
        (API, WSGI),
        (SCHEDULER, RPC),
        (VOLUME, RPC),
        (VOLUME, DRIVER),
    }
    assert len(notifications(recorded.report)) > 1000


def test_every_stop_has_its_start(recorded):
    """In all four services."""
    assert_every_stop_has_its_start(recorded.report)


def test_the_top_level_is_the_clients_own_requests(recorded):
    """No orphan: what has no parent in the trace was asked for by the client, whose id is the trace's."""
    top = recorded.report["children"]
    assert {node["parent_id"] for node in top} == {recorded.trace_id}
    assert {(node["info"]["service"], node["info"]["name"]) for node in top} == {(KEYSTONE, WSGI), (API, WSGI)}
    assert {payload["base_id"] for payload in notifications(recorded.report)} == {recorded.trace_id}


def test_nothing_was_lost(recorded):
    """The report tells losses, and has none to tell."""
    assert "lost" not in recorded.report["info"]


def test_the_request_is_followed_from_process_to_process(recorded, capsys):
    """HTTP, RPC to the scheduler, RPC to the volume manager, its driver: each below the one that asked for it."""
    found = by_position(recorded.report)
    way = ((API, WSGI), (SCHEDULER, RPC), (VOLUME, RPC), (VOLUME, DRIVER))
    with capsys.disabled():
        print()
        for level, (service, kind) in enumerate(way, start=1):
            print(f"{'  ' * level}{service} {kind}: {found[way[:level]]}")
    assert [found[way[: length + 1]] for length in (1, 2, 3)] == [1, 1, 1]
    assert found[(API, WSGI), (KEYSTONE, WSGI), (KEYSTONE, DB)] > 0


def test_no_password_of_a_connection_string_is_in_a_notification(recorded):
    """Of the database's, of the message bus's."""
    text = json.dumps(recorded.report)
    assert "FakeLoggingVolumeDriver" in text
    assert mariadb.PASSWORD not in text
    assert rabbitmq.PASSWORD not in text


@pytest.mark.parametrize("view", VIEWS)
def test_upstream_records_the_same(view, recorded, recorded_by_upstream):
    """Same names, parents, counts, members, statements and requests as upstream 4.4.0 in a real Redis."""
    ours, upstreams = view(recorded.report), view(recorded_by_upstream.report)
    assert ours - upstreams == Counter()
    assert upstreams - ours == Counter()
    assert sum(ours.values()) > 0
