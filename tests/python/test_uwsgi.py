# SPDX-License-Identifier: Apache-2.0
"""A real uWSGI with the middleware: prefork, the end of the server and of the store in mid-request.

Whatever happens to the store, requests are answered with 200 and recorded = stored + lost, with the lost number in the
report. The test for a full disk mounts a small tmpfs, which takes root.
"""

import contextlib
import re
import shutil
import sqlite3
import threading
import uuid

import pytest
import serving
from conftest import draw
from osprofiler.drivers import base
from serving import Request

from house.waiting import wait_until
from servers.disk import SmallDisk


@pytest.fixture
def serve(tmp_path):
    """Return what starts servers, which end with the test."""
    started = []

    def start(store, *options):
        folder = tmp_path / f"server{len(started)}"
        folder.mkdir()
        started.append(serving.uwsgi(folder, {"TRACE_STORE": store}, *options))
        started[-1].store = store
        serving.await_all(started[-1], int(options[options.index("--processes") + 1]))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def stored(report):
    """Return the number of notifications in a report."""
    count, waiting = 0, [report]
    while waiting:
        node = waiting.pop()
        count += sum(key.startswith("meta.raw_payload.") for key in node["info"])
        waiting.extend(node["children"])
    return count


def balance(capsys, recorded, report):
    """Print the numbers and check that none is missing."""
    kept, lost = stored(report), report["info"].get("lost", 0)
    lost = sum(lost.values()) if isinstance(lost, dict) else lost
    with capsys.disabled():
        print(f"\n  recorded {recorded} = stored {kept} + lost {lost}")
    assert recorded == kept + lost
    return kept, lost


LAZY = ("--lazy-apps", "--processes", "1", "--threads", "4")
PREFORK = ("--master", "--processes", "4")


@pytest.mark.parametrize("options", [LAZY, PREFORK, (*PREFORK, "--lazy-apps")], ids=["lazy", "prefork", "prefork-lazy"])
def test_workers_record_for_themselves(serve, tmp_path, options):
    server = serve(f"sqlite://{tmp_path}/trace", *options)
    ids = [str(uuid.uuid4()) for _ in range(24)]
    threads = [threading.Thread(target=server.get, args=("/work?count=20", base_id)) for base_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.stop()
    driver = base.get_driver(server.store)
    points = set()
    for base_id in ids:
        report = driver.get_report(base_id)
        assert draw(report) == "wsgi\n  work" + "\n    step" * 20
        work = report["children"][0]["children"][0]
        points |= {node["trace_id"] for node in work["children"]}
    assert len(points) == 24 * 20


@pytest.mark.parametrize("scheme", ["sqlite", "file"])
def test_sigterm_in_mid_request(serve, tmp_path, capsys, scheme):
    server = serve(f"{scheme}://{tmp_path}/trace", *LAZY)
    base_id = str(uuid.uuid4())
    request = Request(server, base_id)
    server.stop()
    assert isinstance(request.finish(), Exception)
    report = base.get_driver(server.store).get_report(base_id)
    assert draw(report) == "wsgi (never ended)\n  wait (never ended)"
    # Two points were open, and nothing else was recorded.
    balance(capsys, 2, report)


def test_sigterm_to_a_master_in_mid_request(serve, tmp_path, capsys):
    server = serve(f"sqlite://{tmp_path}/trace", *PREFORK)
    base_id = str(uuid.uuid4())
    request = Request(server, base_id)
    server.stop()
    assert isinstance(request.finish(), Exception)
    report = base.get_driver(server.store).get_report(base_id)
    assert draw(report) == "wsgi (never ended)\n  wait (never ended)"
    balance(capsys, 2, report)


def removed(folder):
    """Remove the store's folder; what repairs it makes a new one."""
    shutil.rmtree(folder)
    return folder.mkdir


def unwritable(folder):
    """Put the store's path below a regular file; what repairs it brings the folder back."""
    saved = folder.with_name("saved")
    folder.rename(saved)
    folder.write_text("not a folder")

    def repair():
        folder.unlink()
        saved.rename(folder)

    return repair


def full(folder):
    """Fill the store's file system, which is small; what repairs it removes the filling."""
    disk = SmallDisk(folder, 2)
    disk.fill()
    return disk.free


def locked(folder):
    """Keep the database for ourselves; what repairs it lets go."""
    other = sqlite3.connect(folder / "trace", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    def repair():
        other.execute("ROLLBACK")
        other.close()

    return repair


def corrupt(folder):
    """Write over the header of the database; what repairs it writes it back."""
    path = folder / "trace"
    # Then all that there is is in the file, and whoever has it open looks at it again.
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    header = path.read_bytes()[:100]

    def write(data):
        with path.open("r+b") as file:
            file.write(data)

    write(b"\xff" * len(header))
    return lambda: write(header)


@pytest.fixture
def folder(request, tmp_path):
    """Make the folder of a store: a small file system of its own where it is to become full."""
    folder = tmp_path / "store"
    folder.mkdir()
    if request.param is not full:
        yield folder
        return
    with SmallDisk(folder, 2):
        yield folder


@pytest.mark.parametrize("scheme", ["sqlite", "file"])
@pytest.mark.parametrize(
    ("folder", "spoil"),
    [(removed, removed), (unwritable, unwritable), (full, full)],
    indirect=["folder"],
    ids=lambda f: f.__name__,
)
def test_the_store_goes_in_mid_request_and_comes_back(serve, folder, capsys, scheme, spoil):
    go_and_come_back(serve(f"{scheme}://{folder}/trace", *LAZY), folder, capsys, spoil)


@pytest.mark.parametrize(
    ("spoil", "said", "loses"),
    [
        (locked, "write `{}`: other processes kept it locked; they wait in memory", False),
        (corrupt, "write `{}`: it is no SQLite database; they are lost", True),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_database_is_locked_or_damaged_in_mid_request(serve, tmp_path, capsys, spoil, said, loses):
    folder = tmp_path / "store"
    folder.mkdir()
    # A wait that ends within the half second in which the harm is looked at.
    server = serve(f"sqlite://{folder}/trace?busy_timeout=0.05", *LAZY)
    _, lost = go_and_come_back(server, folder, capsys, spoil)
    assert (lost > 0) is loses
    told = re.findall(r"^WARNING osprofiler cannot store .*", server.output, re.MULTILINE)
    assert len(told) == 1, server.output
    assert said.format(folder / "trace") in told[0]


def go_and_come_back(server, folder, capsys, spoil):
    """Harm the store in mid-request, put it right, and return what it has then and what was lost."""
    base_id = str(uuid.uuid4())
    request = Request(server, base_id)
    before = server.counters()
    assert (before["recorded"], before["stored"]) == (2, 2)
    repair = spoil(folder)
    assert request.finish() == (200, "waited")
    for _ in range(5):
        assert server.get("/work?count=10", base_id) == (200, "worked")

    await_told(server, base_id)
    broken = server.counters(seconds=0.5)
    assert broken["waiting"] + broken["lost"] > 0
    assert broken["recorded"] == broken["stored"] + broken["lost"] + broken["waiting"]
    repair()
    assert server.get("/work", base_id) == (200, "worked")
    counters = server.counters()
    assert counters["recorded"] == counters["stored"] + counters["lost"] + counters["waiting"]
    server.stop()
    report = base.get_driver(server.store).get_report(base_id)
    assert report["stats"]["work"]["count"] >= 1
    return balance(capsys, counters["recorded"], report)


def await_told(server, base_id):
    """Make requests until the service tells what is wrong with its store."""

    def is_told():
        # The store is tried within some moments of a request, and what is wrong with it is logged with a later one.
        assert server.get("/work", base_id) == (200, "worked")
        return "cannot store" in server.output

    wait_until(is_told, "the service to tell what is wrong", serving.TIMEOUT_SECONDS, server.server.log)


@pytest.mark.parametrize("scheme", ["sqlite", "file"])
@pytest.mark.parametrize("folder", [unwritable], indirect=True, ids=["unwritable"])
def test_a_store_that_stays_away_is_told_once(serve, folder, capsys, scheme):
    server = serve(f"{scheme}://{folder}/trace", *LAZY)
    base_id = str(uuid.uuid4())
    assert server.get("/work?count=3", base_id) == (200, "worked")
    before = server.counters()
    assert (before["recorded"], before["waiting"]) == (before["stored"], 0)
    repair = unwritable(folder)
    await_told(server, base_id)
    for _ in range(3):
        assert server.get("/work?count=5", base_id) == (200, "worked")
        counters = server.counters(seconds=0.2)
    server.stop()
    told = re.findall(r"^(?:WARNING|ERROR) osprofiler .*", server.output, re.MULTILINE)
    assert len(told) == 1, server.output
    assert str(folder) in told[0]
    repair()
    assert stored(base.get_driver(server.store).get_report(base_id)) == counters["stored"]
    # What has waited until the end of the process is lost then, and said on stderr.
    lost = int(re.search(r"^osprofiler: (\d+) trace notifications are lost", server.output, re.MULTILINE)[1])
    with capsys.disabled():
        print(f"\n  recorded {counters['recorded']} = stored {counters['stored']} + lost {lost}")
    assert (counters["lost"], counters["waiting"]) == (0, lost)
    assert counters["recorded"] == counters["stored"] + lost
