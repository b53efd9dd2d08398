# SPDX-License-Identifier: Apache-2.0
"""A real uWSGI with the middleware: prefork, the end of the server and of the store in mid-request.

Whatever happens to the store, requests are answered with 200 and recorded = stored + lost, with the lost number in the
report. The test for a full disk mounts a small tmpfs, which takes root.
"""

import errno
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest
from conftest import draw
from osprofiler import _utils
from osprofiler.drivers import base

TIMEOUT_SECONDS = 60


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket: no port to choose."""

    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Server:
    """A uWSGI that serves uwsgi_app.py."""

    def __init__(self, folder, store, *options):
        self.socket, self.gate = folder / "socket", folder / "gate"
        self.store = store
        os.mkfifo(self.gate)
        uwsgi = Path(sys.executable).with_name("uwsgi")
        command = [uwsgi, "--http-socket", self.socket, "--wsgi-file", Path(__file__).with_name("uwsgi_app.py")]
        command += ["--die-on-term", "--enable-threads", "--need-app", "--buffer-size", "65535", *options]
        self.process = subprocess.Popen(
            list(map(str, command)),
            env={
                **os.environ,
                "VIRTUAL_ENV": sys.prefix,
                "UWSGI_VIRTUALENV": sys.prefix,
                "TRACE_STORE": store,
                "TRACE_GATE": str(self.gate),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        workers = int(options[options.index("--processes") + 1])
        # A worker that is told to end while it loads its application does not: wait until all have.
        self.awaited = {b"spawned uWSGI worker": workers, b"WSGI app 0": workers if "--lazy-apps" in options else 1}
        self.lines = []
        self.ready = threading.Event()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        if not self.ready.wait(TIMEOUT_SECONDS) or self.process.poll() is not None:
            self.stop()
            raise AssertionError("uwsgi did not start:\n" + self.output)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.decode(errors="replace"))
            for text in self.awaited:
                self.awaited[text] -= text in line
            if max(self.awaited.values()) <= 0:
                self.ready.set()
        self.ready.set()

    @property
    def output(self):
        """What the server has said so far; all of it once it is stopped."""
        return "".join(self.lines)

    def get(self, path, base_id=None):
        """Return the status and text of the answer."""
        connection = Connection(self.socket)
        headers = {}
        if base_id is not None:
            info, hmac = _utils.signed_pack({"base_id": base_id, "parent_id": base_id}, "key")
            headers = {"X-Trace-Info": info.decode(), "X-Trace-HMAC": hmac}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def counters(self, seconds=5):
        """Return the counters of the process that answers, after a flush."""
        status, text = self.get(f"/counters?seconds={seconds}")
        assert status == 200
        return json.loads(text)

    def stop(self, number=signal.SIGTERM):
        """End the server and wait until it has."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(TIMEOUT_SECONDS)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.reader.join()
            self.process.stdout.close()


class Request:
    """A request that is waiting inside a point, on a thread of the test."""

    def __init__(self, server, base_id):
        self.answer = None
        self.thread = threading.Thread(target=self._run, args=(server, base_id))
        self.thread.start()
        # Opens as soon as the service has opened its end: the request is then in the middle.
        self.gate = server.gate.open("w")

    def _run(self, server, base_id):
        try:
            self.answer = server.get("/wait", base_id)
        except (OSError, http.client.HTTPException) as error:
            self.answer = error

    def finish(self):
        """Let it go and return its answer."""
        self.gate.close()
        self.thread.join()
        return self.answer


@pytest.fixture
def serve(tmp_path):
    """Return what starts servers, which end with the test."""
    started = []

    def start(store, *options):
        folder = tmp_path / f"server{len(started)}"
        folder.mkdir()
        started.append(Server(folder, store, *options))
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
