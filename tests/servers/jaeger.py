# SPDX-License-Identifier: Apache-2.0
"""Jaeger 1.62, all in one program: it takes spans as a collector of OpenTelemetry's does, and gives them back by trace.

Built from the Go module beside this file, into the cache, under a name that changes with the module's files. It keeps
its data in memory.
"""

import json
import re
import shutil
import urllib.error
import urllib.request
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from house.ending import one_at_a_time
from house.places import cache, version_key
from house.process import Server, run
from house.tools import need
from house.waiting import answers, free_port, wait_until
from servers.certificates import Certificates

READY_SECONDS = 120
# How long it may take from the collector to the query.
FOUND_SECONDS = 120
MODULE = Path(__file__).with_suffix("")
PROGRAM = "github.com/jaegertracing/jaeger/cmd/all-in-one"
# What else it would listen at, on ports of other people's: wherever the system chooses.
OTHERS = (
    "collector.http-server.host-port",
    "http-server.host-port",
    "processor.jaeger-binary.server-host-port",
    "processor.jaeger-compact.server-host-port",
    "processor.zipkin-compact.server-host-port",
    "query.grpc-server.host-port",
)


def program(log: Path) -> Path:
    """Return the path of the server's program, built where it is not there yet: two minutes."""
    files = [(MODULE / name).read_text() for name in ("go.mod", "go.sum")]
    built = cache() / "servers" / f"jaeger-{version_key(*files)}" / "all-in-one"
    with one_at_a_time(built.parent):
        if not built.exists():
            need("go")
            new = built.with_name("new")
            run(["go", "build", "-o", new, PROGRAM], log, cwd=MODULE, what="building Jaeger")
            new.replace(built)
    return built


@dataclass(frozen=True)
class Span:
    """A span as Jaeger shows it."""

    name: str
    id: str
    parent: str | None
    start: int
    """Microseconds since 1970."""
    duration: int
    """Microseconds."""
    tags: dict
    events: list[dict]
    links: list[tuple[str, str]]
    """Trace and span of each."""
    resource: dict = field(hash=False)
    """Its service's name as `service.name`, and whatever else the process is known by."""


class Jaeger:
    """A server for as long as the `with` block lasts; with certificates its collector speaks TLS and nothing else."""

    def __init__(self, folder: Path, certificates: Certificates | None = None, options: tuple[str, ...] = ()):
        """Choose ports; logs and process id go into the folder. May build the program."""
        self.folder = folder.resolve()
        self.certificates = certificates
        self.http_port, self.grpc_port, self.query_port, self.figures_port, agents_port = (
            free_port() for _ in range(5)
        )
        listening = dict.fromkeys(OTHERS, 0) | {
            "admin.http.host-port": self.figures_port,
            "collector.grpc-server.host-port": agents_port,
            "collector.otlp.http.host-port": self.http_port,
            "collector.otlp.grpc.host-port": self.grpc_port,
            "query.http-server.host-port": self.query_port,
        }
        flags = [f"--{name}=127.0.0.1:{port}" for name, port in listening.items()]
        if certificates is not None:
            for protocol in ("http", "grpc"):
                tls = f"--collector.otlp.{protocol}.tls"
                flags += [
                    f"{tls}.enabled=true",
                    f"{tls}.cert={certificates.certificate}",
                    f"{tls}.key={certificates.key}",
                ]
        environment = {"SPAN_STORAGE_TYPE": "memory", "PATH": "/usr/bin:/bin"}
        command = [program(folder / "build.log"), *flags, *options]
        self.server = Server("jaeger", command, self.folder, environment)

    def url(self, protocol: str = "http", **options: str) -> str:
        """Return a connection string to it."""
        scheme, port = "otlp", self.grpc_port if protocol == "grpc" else self.http_port
        options = {"protocol": protocol} | options
        if self.certificates is not None:
            scheme = "otlps"
            options = {"tls_ca_file": str(self.certificates.authority)} | options
        return f"{scheme}://127.0.0.1:{port}?" + "&".join(f"{name}={value}" for name, value in options.items())

    def __enter__(self) -> "Jaeger":
        """Start it; return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.start()
        except BaseException:
            self.server.end()
            raise
        return self

    def start(self) -> None:
        """Start it, at first and after `stop`; it knows nothing of before."""
        ports = self.http_port, self.grpc_port, self.query_port
        self.server.start(lambda: all(map(answers, ports)), READY_SECONDS)

    def stop(self) -> None:
        """End it at once: it would wait ten seconds for nobody, and has nothing to save."""
        if self.server.child is not None:
            self.server.child.kill()
        self.server.end()

    def __exit__(self, *_) -> None:
        """End it."""
        self.stop()

    def trace(self, trace_id: str, spans: int) -> list[Span]:
        """Return the spans of a trace, by start, once there are that many; fail if there aren't soon."""
        trace_id = trace_id.replace("-", "")

        def found():
            shown = self._trace(trace_id)
            return shown if len(shown) >= spans else None

        return wait_until(found, f"{spans} spans of the trace {trace_id}", FOUND_SECONDS, self.server.log)

    def notifications(self, trace_id: str) -> int:
        """Return how many notifications its spans of a trace are made of; those that tell of a loss are of none."""
        spans = {span.id: span.tags for span in self._trace(trace_id.replace("-", ""))}
        return sum(
            0 if "osprofiler.lost.count" in tags else 1 if "osprofiler.incomplete" in tags else 2
            for tags in spans.values()
        )

    def services(self) -> list[str]:
        """Return the names of the services that it has spans of."""
        return self._ask("/api/services")["data"] or []

    def traces(self, service: str) -> list[list[Span]]:
        """Return the traces that it has of a service."""
        answer = self._ask(f"/api/traces?service={service}&limit=1000&lookback=48h")
        return [spans_of(trace) for trace in answer["data"]]

    def _trace(self, trace_id: str) -> list[Span]:
        try:
            (trace,) = self._ask(f"/api/traces/{trace_id}")["data"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise
        return spans_of(trace)

    def _ask(self, path: str):
        url = f"http://127.0.0.1:{self.query_port}{path}"
        with urllib.request.urlopen(url, timeout=FOUND_SECONDS) as answer:
            return json.load(answer)


def spans_of(trace: dict) -> list[Span]:
    """Return the spans of what the query API calls a trace."""
    spans = []
    for span in trace["spans"]:
        parents = [other for other in span["references"] if other["refType"] == "CHILD_OF"]
        links = [other for other in span["references"] if other["refType"] != "CHILD_OF"]
        process = trace["processes"][span["processID"]]
        spans.append(
            Span(
                span["operationName"],
                span["spanID"],
                parents[0]["spanID"] if parents else None,
                span["startTime"],
                span["duration"],
                values(span["tags"]),
                [values(event["fields"]) for event in span["logs"]],
                [(link["traceID"], link["spanID"]) for link in links],
                values(process.get("tags", [])) | {"service.name": process["serviceName"]},
            )
        )
    return sorted(spans, key=lambda span: span.start)


def values(tags: list[dict]) -> dict:
    """Return tags by name."""
    return {tag["key"]: tag["value"] for tag in tags}


class Stores:
    """Two servers, one with TLS, and how each is reached; for the conformance suite."""

    def __init__(self, folder: Path):
        """Describe them; their files go below the folder. What earlier ones left there is removed."""
        shutil.rmtree(folder / "plain", ignore_errors=True)
        # What finds no room in its queue, of 2,000 spans, is dropped without a word: a bench is quicker than that.
        self.plain = Jaeger(folder / "plain", options=("--collector.queue-size=50000",))
        self.tls = Jaeger(folder / "tls", Certificates(folder.resolve() / "certificates"))
        self.running = ExitStack()
        version = re.search(r"jaeger v(\S+)", (MODULE / "go.mod").read_text())[1]
        self.stores = [
            f"Jaeger {version}, HTTP|{self.plain.url()}",
            f"Jaeger {version}, gRPC|{self.plain.url('grpc', compression='gzip')}",
            f"Jaeger {version}, HTTP, TLS|{self.tls.url(compression='gzip')}",
            f"Jaeger {version}, gRPC, TLS|{self.tls.url('grpc')}",
        ]
        # How many spans of which service the first of them saved, for who sends too many to look at.
        self.environment = {"OSPROFILER_TEST_OTLP_FIGURES": f"http://127.0.0.1:{self.plain.figures_port}/metrics"}

    def __enter__(self) -> "Stores":
        """Start them; return when both answer."""
        with self.running:
            for server in (self.plain, self.tls):
                self.running.enter_context(server)
            self.running = self.running.pop_all()
        return self

    def __exit__(self, *_) -> None:
        """End them."""
        self.running.close()


class BesideFile:
    """A server with a file beside it, which is what can be read back by the command: for `make demo STORE=otlp`."""

    def __init__(self, folder: Path):
        """Choose ports; everything goes into the folder."""
        self.data = folder.resolve() / "data"
        self.jaeger = Jaeger(folder)
        self.url = f"sqlite://{self.data}/traces.db,otlp://127.0.0.1:{self.jaeger.http_port}"

    def __enter__(self) -> "BesideFile":
        """Start it; return when it answers."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.jaeger.__enter__()
        return self

    def __exit__(self, *_) -> None:
        """End it; the file stays."""
        self.jaeger.stop()

    def look(self, trace_id: str, points: int) -> str:
        """Return what it shows of a trace, once it has a span for each point; fail if it doesn't soon."""
        spans = self.jaeger.trace(trace_id, points)
        by_service = Counter(span.resource["service.name"] for span in spans)
        shown = ", ".join(f"{count} of {service}" for service, count in by_service.most_common())
        address = f"http://127.0.0.1:{self.jaeger.query_port}/api/traces/{trace_id.replace('-', '')}"
        slowest = max((span for span in spans if span.parent is not None), key=lambda span: span.duration)
        return (
            f"  Jaeger has the same trace, {len(spans)} spans: {shown}\n"
            f"  {address} as long as it runs\n"
            f"  the longest below another: {slowest.name}, {slowest.duration / 1000:.1f} ms"
        )
