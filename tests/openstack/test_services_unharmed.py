# SPDX-License-Identifier: Apache-2.0
"""What happens to real services when they are ended, or their store fails, in the middle of a request.

Requests are answered as ever, and every notification is either in the store or counted as lost in the trace's report;
the numbers are printed. The store is on a small disk, which takes root to mount.
"""

import contextlib
import json
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from by_hand import EMPTY, GLANCE, SECONDS, Tracer, await_stored, read_report

from demo import scenario
from demo.cloud import Cloud
from demo.settings import clean_environment
from house.waiting import wait_until
from servers.disk import SmallDisk


class Store:
    """A SQLite store in a folder of its own, and what it holds of a trace."""

    def __init__(self, disk: SmallDisk, command: Path):
        """Make the folder; the services make the file."""
        self.disk = disk
        self.folder = folder = disk.folder / "store"
        folder.mkdir()
        self.away = folder.with_name("away")
        self.command = command
        self.connection_string = f"sqlite://{folder}/traces.db"
        # Where services publish their numbers: a place that nobody else can have spoilt.
        self.runtime = disk.folder.with_name("runtime")
        self.runtime.mkdir()

    def report(self, trace_id: str) -> dict | None:
        """Return the report of a trace, None as long as the store has nothing of it."""
        return read_report(self.command, trace_id, self.connection_string)

    def points(self, trace_id: str) -> list[tuple[str, bool]]:
        """Return each point of a trace as its service, and whether it has ended."""
        report = self.report(trace_id)
        return [(path[-1][0], bool(scenario.payloads(node, "-stop"))) for node, path in scenario.nodes(report or EMPTY)]

    def accounted(self, trace_id: str) -> tuple[int, int]:
        """Return how many notifications of a trace are stored, and how many are counted as lost."""
        report = self.report(trace_id) or EMPTY
        kinds = ("-start", "-stop")
        stored = sum(len(scenario.payloads(node, kind)) for node, _ in scenario.nodes(report) for kind in kinds)
        return stored, report["info"].get("lost", 0)

    def held(self) -> tuple[int, int]:
        """Return how many notifications of all traces are stored, and how many are counted as lost, by its tables."""
        with contextlib.closing(sqlite3.connect(self.folder / "traces.db")) as database:
            tables = "SELECT (SELECT sum(notifications) FROM trace), (SELECT coalesce(sum(count), 0) FROM loss)"
            return database.execute(tables).fetchone()

    def recorded(self) -> int:
        """Return how many notifications the services that run have recorded into it, as they publish it themselves."""
        doctor = [self.command, "doctor", "--processes", "--json"]
        env = clean_environment(OSPROFILER_RUNTIME_DIR=str(self.runtime))
        shown = subprocess.run(doctor, env=env, capture_output=True, text=True, check=False)
        stores = [store for process in json.loads(shown.stdout)["processes"] for store in process["stores"]]
        return sum(store["recorded"] for store in stores if store["store"] == self.connection_string)


@pytest.fixture
def store(tmp_path, command) -> Iterator[Store]:
    """Return a store on a disk of its own, with room for what is recorded here and for little more."""
    with SmallDisk(tmp_path / "disk", 16) as disk:
        yield Store(disk, command)


def balance(capsys, recorded: int, accounted: tuple[int, int]) -> None:
    """Print the numbers and check that none is missing."""
    stored, lost = accounted
    with capsys.disabled():
        print(f"\n  recorded {recorded} = stored {stored} + lost {lost}")
    assert recorded == stored + lost


@pytest.fixture
def cloud(ours, template, tmp_path, store) -> Iterator[Cloud]:
    """Run Keystone and Glance with our wheel, recording into the store."""
    described = Cloud(ours, template, tmp_path / "cloud", store.connection_string)
    for api in described.apis:
        api.server.env = {**api.server.env, "OSPROFILER_RUNTIME_DIR": str(store.runtime)}
        # An upload waits here for what the test looks at; uWSGI gives it up after some seconds.
        api.server.command = [*api.server.command, "--chunked-input-timeout", str(SECONDS)]
    with described as running:
        yield running


def await_open_upload(store: Store, tracer: Tracer) -> None:
    """Wait until the upload's own point is in the store, begun and not ended; before it the trace has none."""
    wait_until(lambda: (GLANCE, False) in store.points(tracer.base_id), "the upload's point in the store", SECONDS)


def test_a_service_ended_in_mid_request_leaves_its_open_points(cloud, store, capsys):
    """SIGTERM: uWSGI decides about the request; what was open is in the store, and shown as never ended."""
    tracer = Tracer(cloud)
    upload = tracer.begin_upload()
    await_open_upload(store, tracer)
    # Glance has made the image's file, so it waits for more of the upload; what it recorded before, and Keystone, is
    # in the store with a later request.
    wait_until((cloud.folder / "images" / upload.image).exists, "Glance to write what it has of the upload", SECONDS)
    settled(cloud, store, tracer.base_id)
    # They publish what they have recorded some moments later, and it is all there.
    wait_until(lambda: store.recorded() == sum(store.held()), "the services' numbers to be those of the store", SECONDS)
    recorded = store.recorded()
    service = cloud.glance.server.child
    service.send_signal(signal.SIGTERM)
    service.wait(SECONDS)
    points = store.points(tracer.base_id)
    assert (GLANCE, False) in points
    assert any(ended for _, ended in points)
    assert "lost" not in store.report(tracer.base_id)["info"]
    tree = [store.command, *scenario.show("--tree", tracer.base_id, store.connection_string)]
    assert "never ended" in subprocess.run(tree, capture_output=True, text=True, check=True).stdout
    balance(capsys, recorded, store.held())


def nothing(_: Store) -> None:
    """Leave the store as it is."""


def remove(store: Store) -> None:
    """Take the store's folder away."""
    store.folder.rename(store.away)


def block(store: Store) -> None:
    """Put a file where the store's folder was: nobody, not even root, can write below it."""
    store.folder.rename(store.away)
    store.folder.touch()


def fill(store: Store) -> None:
    """Leave no room for more."""
    store.disk.fill()


def bring_back(store: Store) -> None:
    """Make room, or put the store's folder back."""
    if not store.away.exists():
        store.disk.free()
        return
    if store.folder.exists():
        store.folder.unlink()
    store.away.rename(store.folder)


@pytest.mark.parametrize("harm", [remove, block, fill])
def test_a_store_that_fails_in_mid_request_harms_no_request(harm: Callable[[Store], None], cloud, store, capsys):
    """Requests are answered while it fails, and the log says why; what was recorded is stored or counted as lost."""
    settled(cloud, store, record(cloud, store, nothing))  # what services do once is done now
    expected = sum(settled(cloud, store, record(cloud, store, nothing)))
    assert expected > 0
    disturbed = record(cloud, store, harm)
    log = cloud.glance.server.log

    def is_told() -> bool:
        # The store is tried within some moments of a request, and what is wrong with it is logged with a later one.
        assert Tracer(cloud).request("GET", "/v2/images")[0] == 200
        return HARMED[harm] in log.read_text(errors="replace")

    wait_until(is_told, "Glance to tell what is wrong", SECONDS, log)
    bring_back(store)
    settled(cloud, store, disturbed)
    wait_until(lambda: sum(store.accounted(disturbed)) >= expected, "what was lost to be told", SECONDS)
    balance(capsys, expected, store.accounted(disturbed))


# What a service says of each harm.
HARMED = {remove: "does not exist", block: "a part of the path is a file", fill: "no space left on the device"}


def record(cloud: Cloud, store: Store, harm: Callable[[Store], None]) -> str:
    """Upload an image, list images, with the harm done in the middle of the upload; return the trace."""
    tracer = Tracer(cloud)
    upload = tracer.begin_upload()
    await_open_upload(store, tracer)
    harm(store)
    assert upload.finish() == 204
    assert tracer.request("GET", "/v2/images")[0] == 200
    return tracer.base_id


def settled(cloud: Cloud, store: Store, trace_id: str) -> tuple[int, int]:
    """Return how many notifications are stored and lost, once a later request of both services is in the store."""
    await_stored(cloud, store.command)
    return store.accounted(trace_id)
