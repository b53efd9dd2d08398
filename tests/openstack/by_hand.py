# SPDX-License-Identifier: Apache-2.0
"""Requests to Glance made by hand, so that a test can stop in the middle of a profiled one.

A client is the administrator's token, and where it traces, a trace: each request then carries its signed headers.
"""

import http.client
import json
import subprocess
import uuid
from pathlib import Path

from demo import scenario
from demo.accounts import Identity
from demo.client import trace_headers
from demo.cloud import Cloud
from house.waiting import wait_until

# Far longer than anything takes here.
SECONDS = 120
GLANCE, KEYSTONE = "api", "public"
EMPTY: dict = {"info": {}, "children": []}


class Caller:
    """Makes requests to Glance, with a token that nobody else has."""

    def __init__(self, cloud: Cloud):
        """Log in."""
        self.port = cloud.glance.port
        self.headers = {"X-Auth-Token": Identity(cloud.keystone_url).token}

    def request(self, method: str, path: str, body: object = None) -> tuple[int, dict]:
        """Make a request; return the status and what came."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json", **self.headers})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, json.loads(data) if data else {}


class Tracer(Caller):
    """Makes requests to Glance that belong to one trace."""

    def __init__(self, cloud: Cloud):
        """Log in, and begin a trace."""
        super().__init__(cloud)
        self.cloud = cloud
        self.base_id = str(uuid.uuid4())
        self.headers |= trace_headers(self.base_id)

    def begin_upload(self) -> "Upload":
        """Make an image outside of the trace, and begin to upload its data: Glance's first request of the trace."""
        image = {"name": "by-hand", "disk_format": "raw", "container_format": "bare"}
        status, made = Caller(self.cloud).request("POST", "/v2/images", image)
        assert status == 201, made
        return Upload(self, made["id"], made["file"])


class Upload:
    """An upload in mid-request: Glance waits for more data until `finish`."""

    def __init__(self, tracer: Tracer, image: str, path: str):
        """Send the request's head and a first piece of data."""
        self.image = image
        self.connection = http.client.HTTPConnection("127.0.0.1", tracer.port, timeout=SECONDS)
        self.connection.putrequest("PUT", path)
        headers = {"Content-Type": "application/octet-stream", "Transfer-Encoding": "chunked", **tracer.headers}
        for name, value in headers.items():
            self.connection.putheader(name, value)
        self.connection.endheaders()
        self.connection.send(b"5\r\nfirst\r\n")

    def finish(self) -> int:
        """Send the last piece; return the answer's status."""
        self.connection.send(b"4\r\nlast\r\n0\r\n\r\n")
        status = self.connection.getresponse().status
        self.connection.close()
        return status


def read_report(command: Path, trace_id: str, store: str) -> dict | None:
    """Return a trace's report, None as long as the store has nothing of it."""
    shown = subprocess.run(
        [command, *scenario.show("--json", trace_id, store)], capture_output=True, text=True, check=False
    )
    return json.loads(shown.stdout) if shown.returncode == 0 else None


def await_stored(cloud: Cloud, command: Path) -> None:
    """Wait until all that both services have recorded so far is in their store, which the command reads."""
    later = Tracer(cloud)
    assert later.request("GET", "/v2/images")[0] == 200

    def stored() -> bool:
        # A service stores in order: with the end of its later request, all that it recorded before is there.
        ended = {
            path[-1][0]
            for node, path in scenario.nodes(read_report(command, later.base_id, cloud.connection_string) or EMPTY)
            if path[0] == (GLANCE, "wsgi") and path[-1][1] == "wsgi" and scenario.payloads(node, "-stop")
        }
        return ended == {GLANCE, KEYSTONE}

    wait_until(stored, "a later request to be stored", SECONDS)
