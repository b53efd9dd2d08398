# SPDX-License-Identifier: Apache-2.0
"""OpenSearch 2.19, which speaks Elasticsearch's API: a node in a process of its own, as its runner for tests starts it.

The archives come by Maven, into the cache, under a name that changes with what is asked for. The node has neither TLS
nor users: these are a plug-in's, which the runner lacks. `servers.opensearch_stores` has a front that stands for it.
"""

import json
import urllib.request
from pathlib import Path

from house.ending import one_at_a_time
from house.places import cache, version_key
from house.process import Server, run
from house.tools import need
from house.waiting import free_port

READY_SECONDS = 120
PROGRAM = Path(__file__).with_suffix("") / "OpenSearch.java"
PROJECT = PROGRAM.with_name("pom.xml")
# The node's own default is twice as much; a compiler that takes its time costs more than it brings here.
JAVA_OPTIONS = ("-Xms256m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def archives(log: Path) -> Path:
    """Return the folder of the node's archives, fetched where they are not there yet: 53 MB."""
    folder = cache() / "servers" / f"opensearch-{version_key(PROJECT.read_text())}"
    with one_at_a_time(folder):
        if not folder.exists():
            need("mvn")
            new = folder.with_name(f"{folder.name}.new")
            options = [f"-DoutputDirectory={new}", "-DincludeScope=runtime"]
            command = ["mvn", "-q", "-B", "-f", PROJECT, "dependency:copy-dependencies", *options]
            run(command, log, what="fetching OpenSearch")
            new.replace(folder)
    return folder


class OpenSearch:
    """A node for as long as the `with` block lasts."""

    def __init__(self, folder: Path, port: int = 0):
        """Choose a port where none is named; data, logs and process id go into the folder. May fetch the archives."""
        need("java")
        self.folder = folder.resolve()
        self.port = free_port(port)
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"opensearch://{self.address}"
        classes = f"{archives(self.folder / 'fetch.log')}/*"
        command = ["java", *JAVA_OPTIONS, "-cp", classes, PROGRAM, self.folder / "data", self.port]
        self.server = Server("opensearch", command, self.folder)

    def __enter__(self) -> "OpenSearch":
        """Start it; return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.server.start(self._is_ready, READY_SECONDS)
        except BaseException:
            self.server.end()
            raise
        return self

    def __exit__(self, *_) -> None:
        """End it."""
        self.server.end()

    def ask(self, method: str, path: str, body: object = None) -> dict:
        """Return the answer to a request; the body may be lines of JSON that are ready. Fail if it is refused."""
        lines = isinstance(body, str)
        data = None if body is None else (body if lines else json.dumps(body)).encode()
        kind = "application/x-ndjson" if lines else "application/json"
        request = urllib.request.Request(f"http://{self.address}{path}", data, {"content-type": kind}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or "{}")

    def _is_ready(self) -> bool:
        try:
            return self.ask("GET", "/_cluster/health")["status"] != "red"
        except OSError:
            return False
