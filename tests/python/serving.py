# SPDX-License-Identifier: Apache-2.0
"""Real servers of a small traced service, on a Unix socket each: no port to choose.

In: a folder, the service's environment, the server's options. Out: a server that is ready to answer from all its
workers, until `stop`. A request can be held in the middle: the service then waits for its gate to close.
"""

import http.client
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from osprofiler import profiler, web

from house import process
from house.waiting import wait_until

TIMEOUT_SECONDS = 120
FOLDER = Path(__file__).parent


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Serving:
    """A running server: `ready` says how often which text has to be in its output before it is."""

    def __init__(self, folder, command, environment, ready):
        self.socket = folder / "socket"
        self.gate = socket.socket(socket.AF_UNIX)
        self.gate.bind(str(folder / "gate"))
        self.gate.listen()
        self.gate.settimeout(TIMEOUT_SECONDS)
        environment = {**os.environ, **environment, "PYTHONPATH": str(FOLDER), "TRACE_GATE": str(folder / "gate")}
        self.server = process.Server(Path(command[0]).name, list(map(str, command)), folder, environment)
        self.server.start(
            lambda: all(self.output.count(text) >= times for text, times in ready.items()), TIMEOUT_SECONDS
        )

    @property
    def output(self):
        """What the server and its workers have said so far."""
        return self.server.log.read_text(errors="replace")

    def await_output(self, text):
        """Wait until the server has said it."""
        wait_until(lambda: text in self.output, f"`{text}`", TIMEOUT_SECONDS, self.server.log)

    def get(self, path, base_id=None, key="key"):
        """Return the status and text of the answer."""
        connection = Connection(self.socket)
        connection.request("GET", path, headers={} if base_id is None else signed(base_id, key))
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def counters(self, seconds=60):
        """Return the counters of the process that answers, after a flush."""
        status, text = self.get(f"/counters?seconds={seconds}")
        assert status == 200
        return json.loads(text)

    def signal(self, number=signal.SIGTERM):
        """Send the server's first process a signal."""
        self.server.child.send_signal(number)

    def wait(self):
        """Wait until the server has ended, and return its status."""
        try:
            return self.server.child.wait(TIMEOUT_SECONDS)
        finally:
            self.server.end()
            self.gate.close()

    def stop(self):
        """End the server as an operator does, unless it has ended, and return its status."""
        if self.server.child is None:
            return None
        self.signal()
        return self.wait()


def signed(base_id, key):
    """Return the headers of a call inside a trace."""
    profiler.clean()
    profiler.init(key, base_id)
    try:
        return web.get_trace_id_headers()
    finally:
        profiler.clean()


class Request:
    """A request that is waiting inside a point, on a thread of the test."""

    def __init__(self, serving, base_id):
        self.answer = None
        self.thread = threading.Thread(target=self._run, args=(serving, base_id))
        self.thread.start()
        # The service is in the middle as soon as it has come to the gate.
        self.gate, _ = serving.gate.accept()

    def _run(self, serving, base_id):
        try:
            self.answer = serving.get("/wait", base_id)
        except (OSError, http.client.HTTPException) as error:
            self.answer = error

    def finish(self):
        """Let it go and return its answer."""
        self.gate.close()
        return self.outcome()

    def outcome(self):
        """Return its answer, or the error that the end of its worker is to the client."""
        self.thread.join()
        self.gate.close()
        return self.answer


def uwsgi(folder, environment, *options, module="served_app", python=sys.executable):
    """Start a uWSGI of an interpreter's environment."""
    workers = int(options[options.index("--processes") + 1])
    command = [Path(python).with_name("uwsgi"), "--http-socket", folder / "socket", "--module", f"{module}:application"]
    command += ["--die-on-term", "--enable-threads", "--need-app", "--buffer-size", "65535", *options]
    home = str(Path(python).parents[1])
    environment = {**environment, "VIRTUAL_ENV": home, "UWSGI_VIRTUALENV": home}
    return Serving(folder, command, environment, {"spawned uWSGI worker": workers})


def await_all(serving, workers):
    """Wait until all workers serve, which a uWSGI does not say, and without which a worker does not end when told to.

    Each of them answers one request at a time.
    """
    for request in [Request(serving, None) for _ in range(workers)]:
        assert request.finish() == (200, "waited")


def gunicorn(folder, environment, *options):
    """Start a gunicorn with two workers."""
    command = [Path(sys.executable).with_name("gunicorn"), "--bind", f"unix:{folder / 'socket'}", "--workers", "2"]
    command += ["--graceful-timeout", str(TIMEOUT_SECONDS), "--config", FOLDER / "gunicorn_settings.py"]
    return Serving(folder, [*command, *options, "served_app:application"], environment, {"a worker serves": 2})


def launcher(folder, environment, backend):
    """Start oslo.service's launcher with two workers over one of its backends."""
    command = [sys.executable, FOLDER / "launched_service.py", backend, folder / "socket"]
    return Serving(folder, command, environment, {"a worker serves": 2})
