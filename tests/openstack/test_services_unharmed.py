# SPDX-License-Identifier: Apache-2.0
"""What happens to real services when they are ended, or their store fails, in the middle of a request.

Requests are answered as ever, and every notification is either in the store or counted as lost in the trace's report.
"""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from by_hand import Tracer

from demo import scenario
from demo.cloud import Cloud
from house.waiting import wait_until

SECONDS = 60


class Store:
    """A SQLite store in a folder of its own, and what it holds of a trace."""

    def __init__(self, folder: Path, command: Path):
        """Make the folder; the services make the file."""
        self.folder = folder
        folder.mkdir()
        self.away = folder.with_name("away")
        self.command = command
        self.connection_string = f"sqlite://{folder}/traces.db"

    def report(self, trace_id: str) -> dict | None:
        """Return the report of a trace, None as long as the store has nothing of it."""
        show = [self.command, *scenario.show("--json", trace_id, self.connection_string)]
        shown = subprocess.run(show, capture_output=True, text=True, check=False)
        return json.loads(shown.stdout) if shown.returncode == 0 else None

    def points(self, trace_id: str) -> list[tuple[str, bool]]:
        """Return each point of a trace as its service, and whether it has ended."""
        report = self.report(trace_id)
        return [
            (path[-1][0], bool(scenario.payloads(node, "-stop"))) for node, path in scenario.nodes(report or _EMPTY)
        ]

    def accounted(self, trace_id: str) -> int:
        """Return how many notifications of a trace are stored or counted as lost."""
        report = self.report(trace_id) or _EMPTY
        kinds = ("-start", "-stop")
        stored = sum(len(scenario.payloads(node, kind)) for node, _ in scenario.nodes(report) for kind in kinds)
        return stored + report["info"].get("lost", 0)


_EMPTY: dict = {"info": {}, "children": []}


@pytest.fixture
def store(tmp_path, command) -> Store:
    """Return a store."""
    return Store(tmp_path / "store", command)


@pytest.fixture
def cloud(ours, template, tmp_path, store) -> Iterator[Cloud]:
    """Run Keystone and Glance with our wheel, recording into the store."""
    with Cloud(ours, template, tmp_path / "cloud", store.connection_string) as running:
        yield running


def await_open_upload(store: Store, tracer: Tracer) -> None:
    """Wait until the upload's own point is in the store, begun and not ended."""
    wait_until(lambda: (GLANCE, False) in store.points(tracer.base_id), "the upload's point in the store", SECONDS)


GLANCE, KEYSTONE = "api", "public"


def test_a_service_ended_in_mid_request_leaves_its_open_points(cloud, store):
    """SIGTERM: uWSGI decides about the request; what was open is in the store, and shown as never ended."""
    tracer = Tracer(cloud)
    tracer.begin_upload()
    await_open_upload(store, tracer)
    service = cloud.glance.server.child
    service.send_signal(signal.SIGTERM)
    service.wait(SECONDS)
    points = store.points(tracer.base_id)
    assert (GLANCE, False) in points
    assert any(ended for _, ended in points)
    assert "lost" not in store.report(tracer.base_id)["info"]
    tree = [store.command, *scenario.show("--tree", tracer.base_id, store.connection_string)]
    assert "never ended" in subprocess.run(tree, capture_output=True, text=True, check=True).stdout


def nothing(_: Store) -> None:
    """Leave the store as it is."""


def remove(store: Store) -> None:
    """Take the store's folder away."""
    store.folder.rename(store.away)


def block(store: Store) -> None:
    """Put a file where the store's folder was: nobody, not even root, can write below it."""
    store.folder.rename(store.away)
    store.folder.touch()


def bring_back(store: Store) -> None:
    """Put the store's folder back."""
    if store.folder.exists():
        store.folder.unlink()
    store.away.rename(store.folder)


@pytest.mark.parametrize("harm", [remove, block])
def test_a_store_that_fails_in_mid_request_harms_no_request(harm: Callable[[Store], None], cloud, store):
    """Requests are answered while it fails; after that, what was recorded is stored or counted as lost."""
    settled(cloud, store, record(cloud, store, nothing))  # what services do once is done now
    expected = settled(cloud, store, record(cloud, store, nothing))
    assert expected > 0
    disturbed = record(cloud, store, harm)
    bring_back(store)
    settled(cloud, store, disturbed)
    wait_until(lambda: store.accounted(disturbed) >= expected, "what was lost to be told", SECONDS)
    assert store.accounted(disturbed) == expected


def record(cloud: Cloud, store: Store, harm: Callable[[Store], None]) -> str:
    """Upload an image, list images, with the harm done in the middle of the upload; return the trace."""
    tracer = Tracer(cloud)
    upload = tracer.begin_upload()
    await_open_upload(store, tracer)
    harm(store)
    assert upload.finish() == 204
    assert tracer.request("GET", "/v2/images")[0] == 200
    return tracer.base_id


def settled(cloud: Cloud, store: Store, trace_id: str) -> int:
    """Return how many notifications are accounted for, once a later request of both services is in the store."""
    later = Tracer(cloud)
    assert later.request("GET", "/v2/images")[0] == 200

    def stored() -> bool:
        # A service stores in order: with the end of its later request, all that it recorded before is there.
        ended = {
            path[-1][0]
            for node, path in scenario.nodes(store.report(later.base_id) or _EMPTY)
            if path[0] == (GLANCE, "wsgi") and path[-1][1] == "wsgi" and scenario.payloads(node, "-stop")
        }
        return ended == {GLANCE, KEYSTONE}

    wait_until(stored, "a later request to be stored", SECONDS)
    return store.accounted(trace_id)
