# SPDX-License-Identifier: Apache-2.0
"""A real uWSGI with the middleware: prefork, the end of the server and of the store in mid-request.

Whatever happens to the store, requests are answered with 200 and recorded = stored + lost, with the lost number in the
report. The test for a full disk mounts a small tmpfs, which takes root.
"""

import errno
import re
import shutil
import subprocess
import threading
import uuid

import pytest
import serving
from conftest import draw
from osprofiler.drivers import base
from serving import Request


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


def _fits(file, size):
    try:
        return file.write(b"x" * size) == size
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False


def full(folder):
    """Fill the store's file system; what repairs it removes the filling."""
    filling = folder / "filling"
    with filling.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            while _fits(file, size):
                pass
    return filling.unlink


@pytest.fixture
def folder(request, tmp_path):
    """Make the folder of a store: a small file system of its own where it is to become full."""
    folder = tmp_path / "store"
    folder.mkdir()
    if request.param is not full:
        yield folder
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    assert mounted.returncode == 0, f"this test needs to mount a tmpfs, as root: {mounted.stderr}"
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("scheme", ["sqlite", "file"])
@pytest.mark.parametrize(
    ("folder", "spoil"),
    [(removed, removed), (unwritable, unwritable), (full, full)],
    indirect=["folder"],
    ids=lambda f: f.__name__,
)
def test_the_store_goes_in_mid_request_and_comes_back(serve, folder, capsys, scheme, spoil):
    server = serve(f"{scheme}://{folder}/trace", *LAZY)
    base_id = str(uuid.uuid4())
    request = Request(server, base_id)
    before = server.counters()
    assert (before["recorded"], before["stored"]) == (2, 2)
    repair = spoil(folder)
    assert request.finish() == (200, "waited")
    for _ in range(5):
        assert server.get("/work?count=10", base_id) == (200, "worked")
    broken = server.counters(seconds=0.5)
    assert broken["waiting"] + broken["lost"] > 0
    assert broken["recorded"] == broken["stored"] + broken["lost"] + broken["waiting"]
    repair()
    assert server.get("/work", base_id) == (200, "worked")
    counters = server.counters()
    assert counters["recorded"] == counters["stored"] + counters["lost"] + counters["waiting"]
    server.stop()
    report = base.get_driver(server.store).get_report(base_id)
    balance(capsys, counters["recorded"], report)
    assert report["stats"]["work"]["count"] >= 1


@pytest.mark.parametrize("scheme", ["sqlite", "file"])
@pytest.mark.parametrize("folder", [unwritable], indirect=True, ids=["unwritable"])
def test_a_store_that_stays_away_is_told_once(serve, folder, capsys, scheme):
    server = serve(f"{scheme}://{folder}/trace", *LAZY)
    base_id = str(uuid.uuid4())
    assert server.get("/work?count=3", base_id) == (200, "worked")
    before = server.counters()
    assert (before["recorded"], before["waiting"]) == (before["stored"], 0)
    repair = unwritable(folder)
    for _ in range(3):
        assert server.get("/work?count=5", base_id) == (200, "worked")
        counters = server.counters(seconds=0.2)
    server.stop()
    told = re.findall(r"^(?:WARNING|ERROR) osprofiler .*", server.output, re.MULTILINE)
    assert len(told) == 1, server.output
    assert str(folder) in told[0]
    repair()
    assert stored(base.get_driver(server.store).get_report(base_id)) == counters["stored"]
    with capsys.disabled():
        print(f"\n  recorded {counters['recorded']} = stored {counters['stored']} + lost {counters['lost']}")
    assert counters["recorded"] == counters["stored"] + counters["lost"] + counters["waiting"]
