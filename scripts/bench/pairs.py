# SPDX-License-Identifier: Apache-2.0
"""What profiling costs real requests: each made plain and profiled in turns, by our wheel and by upstream's profiler.

Two clouds run side by side: one of ours that records into SQLite, one of upstream's that records into a real Redis. A
round makes each request in each cloud plain, profiled, and plain again for control, in an order that changes from round
to round; so whatever else the machine does meets all of them alike. What a request costs is then the ratio of medians,
and the median of the ratios within a round; the control says how far two equal things lie apart.

Between two clouds that control says too little: one process of a program differs from the next, by its hash seed and by
where its memory lies. So both clouds are started anew several times, and how far one of them then lies from itself
counts as a control where the two are compared.

    PYTHONPATH=scripts:tests python3 -m bench.pairs [--pairs N]     (also OSPROFILER_BENCH_PAIRS=N make bench)

On a machine that does other things, `chrt -f 10` before it puts all of it in front of them.
"""

import argparse
import http.client
import itertools
import json
import os
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.figures import Bound
from demo import cloud, scenario
from demo.accounts import LOG_IN
from demo.client import Client, trace_headers
from demo.cloud import Cloud
from house import build, debian, environments
from house.ending import alone, framed
from house.environments import Environment
from house.failure import Failure
from house.places import TARGET
from house.progress import heading, say, step
from servers.redis import Redis

PAIRS = 40
OURS = "ours"
AT_MOST = 1.02
WARM_UPS = 3
STARTS = 4
PLAIN, PROFILED, CONTROL = "plain", "profiled", "plain again"
KINDS = (PLAIN, PROFILED, CONTROL)
FOLDER = TARGET / "pairs"
LOG = FOLDER / "pairs.log"


@dataclass
class Series:
    """A request in one cloud: how to make it, its seconds by kind and round, the traces it made.

    Beside the seconds on the wall it keeps those that the thread which serves the request spent on a processor: they
    leave out what else the machine does. `begins` has the round that each start of the cloud began with.
    """

    side: "Side"
    request: Callable[["Side", bool], str | None]
    begins: list[int] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    served: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    traces: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The cloud's name."""
        return self.side.name

    def make(self, profiled: bool) -> str | None:
        """Make the request; return the trace's id when there is one."""
        return self.request(self.side, profiled)

    def take(self, kind: str) -> None:
        """Make the request, and keep what it took."""
        started, served = time.perf_counter(), self._on_a_processor()
        trace_id = self.make(kind == PROFILED)
        self.seconds[kind].append(time.perf_counter() - started)
        self.served[kind].append(self._on_a_processor() - served)
        if trace_id is not None:
            self.traces.append(trace_id)

    def _on_a_processor(self) -> float:
        """Return the seconds that Keystone's thread has spent on a processor so far."""
        keystone = self.side.cloud.keystone.server.child.pid  # its only thread that serves has the process's own id
        return int(Path(f"/proc/{keystone}/task/{keystone}/schedstat").read_text().split()[0]) / 1e9

    def plain_by_start(self) -> list[float]:
        """Return the median seconds of the plain requests of each start."""
        ends = [*self.begins[1:], len(self.seconds[PLAIN])]
        return [
            statistics.median(self.seconds[PLAIN][begin:end] + self.seconds[CONTROL][begin:end])
            for begin, end in zip(self.begins, ends, strict=True)
        ]


class Side:
    """A cloud whose requests are measured, and the command that reads its store."""

    def __init__(self, name: str, environment: Environment, template: Path, store: str, command: Path):
        """Lay the cloud out."""
        self.name = name
        self.store = store
        self.command = command
        self.cloud = Cloud(environment, template, FOLDER / name, store)
        self.client = Client(self.cloud)

    def token(self, profiled: bool) -> str | None:
        """Log in as the administrator; return the trace's id when there is one."""
        trace_id = str(uuid.uuid4()) if profiled else None
        headers = {"Content-Type": "application/json", **(trace_headers(trace_id) if trace_id else {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.cloud.keystone.port, timeout=60)
        connection.request("POST", "/v3/auth/tokens", json.dumps(LOG_IN), headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != 201:
            raise Failure(
                f"{self.name}: Keystone answered a log-in with {answer.status}", self.cloud.keystone.server.log
            )
        return trace_id

    def image_list(self, profiled: bool) -> str | None:
        """Run the whole command; return the trace's id when there is one."""
        if profiled:
            return self.client.profile("image", "list").trace_id
        self.client.run("image", "list")
        return None

    def notifications(self, trace_id: str) -> int:
        """Return how many notifications of a trace the store has; fail when some were lost."""
        report = scenario.report(self.command, trace_id, self.store, LOG)
        if report["info"].get("lost"):
            raise Failure(f"{self.name}: trace {trace_id} lost {report['info']['lost']} notifications")
        ends = ("-start", "-stop")
        return sum(len(scenario.payloads(node, end)) for node, _ in scenario.nodes(report) for end in ends)


REQUESTS = {"POST /v3/auth/tokens": Side.token, "openstack image list": Side.image_list}


def measure(wheel: Path, upstream: Environment, command: Path, pairs: int) -> None:
    """Run both clouds, take the rounds, print the tables."""
    with step("Keystone and Glance twice, side by side"), ExitStack() as ending:
        template = cloud.prepared(upstream)
        # Both are copies: Python rewrites paths in all that it loads from one, a tenth of the command's time.
        ours, theirs = (environments.copy(upstream, FOLDER / name) for name in ("environment", "upstream"))
        environments.swap_in(ours, wheel, LOG)
        redis = ending.enter_context(Redis(FOLDER / "redis"))
        sides = [
            Side(OURS, ours, template, f"sqlite://{FOLDER}/traces.db", command),
            Side("upstream's", theirs, template, redis.url, theirs.program("osprofiler")),
        ]
        for side in sides:
            ending.enter_context(side.cloud)
            scenario.upload_image(side.client, side.cloud.folder)
        running = ending.pop_all()
    with running:
        for name, request in REQUESTS.items():
            every = [Series(side, request) for side in sides]
            with step(f"{pairs} rounds of {name}"):
                _rounds(every, pairs)
            with step("nothing was lost"):
                counts = [_count(side, series) for side, series in zip(sides, every, strict=True)]
            _print(name, every, counts)


def _rounds(every: list[Series], pairs: int) -> None:
    starts = min(STARTS, pairs)
    orders = itertools.islice(_orders(every), pairs)
    for start in range(starts):
        for series in every:
            if start:
                series.side.cloud.end()
                series.side.cloud.start()
            series.begins.append(len(series.seconds[PLAIN]))
        for series, kind in itertools.product(every, KINDS):
            for _ in range(WARM_UPS):
                series.make(kind == PROFILED)
        for order in itertools.islice(orders, pairs * (start + 1) // starts - pairs * start // starts):
            for series, kind in order:
                series.take(kind)


def _orders(every: list[Series]) -> Iterator[list[tuple[Series, str]]]:
    """Yield, without end, orders of a round: cloud beside cloud, each kind as often first as last."""
    for number, kinds in enumerate(itertools.cycle(itertools.permutations(KINDS))):
        sides = every if number % 2 == 0 else every[::-1]
        yield [(series, kind) for kind in kinds for series in sides]


def _count(side: Side, series: Series) -> int:
    """Return how many notifications each trace of the series has; upstream's command is slow, so of its one is read."""
    traces = series.traces if side.name == OURS else series.traces[-1:]
    counts = {side.notifications(trace_id) for trace_id in traces}
    if len(counts) != 1:
        raise Failure(f"{side.name}: traces of the same request have {sorted(counts)} notifications")
    return counts.pop()


def _ratios(one: list[float], other: list[float]) -> tuple[float, float, float]:
    """Return how many times one the other is: by medians, by the median of each round's ratio, by the best runs."""
    paired = statistics.median(b / a for a, b in zip(one, other, strict=True))
    return statistics.median(other) / statistics.median(one), paired, min(other) / min(one)


def _print(name: str, every: list[Series], counts: list[int]) -> None:
    say(f"\n  {name:<46} {'min ms':>10} {'median ms':>10} {'rounds':>10}")
    for series, kind in itertools.product(every, KINDS):
        taken = series.seconds[kind]
        least, median = min(taken) * 1e3, statistics.median(taken) * 1e3
        say(f"  {f'{series.name}, {kind}':<46} {least:10.1f} {median:10.1f} {len(taken):10d}")
    _print_ratios("times the plain request, on the wall", every, [series.seconds for series in every], counts)
    _print_ratios("the same, Keystone's thread on a processor", every, [series.served for series in every], counts)
    say("\n  plain, median ms of each start")
    for series in every:
        say(f"  {series.name:<46} {' '.join(f'{seconds * 1e3:10.1f}' for seconds in series.plain_by_start())}")
    ours, theirs = every
    say("")
    profiled = _ratios(ours.seconds[PLAIN], ours.seconds[PROFILED])[1]
    say(Bound("ours, profiled : plain, paired", profiled, AT_MOST, _apart([ours])).line())
    plain, apart = _ratios(_unprofiled(theirs), _unprofiled(ours))[1], max(_apart(every), _starts_apart(every))
    say(Bound("plain, ours : upstream's, paired", plain, 1 + apart, apart).line())


def _print_ratios(title: str, every: list[Series], takens: list[dict[str, list[float]]], counts: list[int]) -> None:
    say(f"\n  {title:<46} {'medians':>10} {'paired':>10} {'best':>10}")
    for series, taken, count in zip(every, takens, counts, strict=True):
        for kind, more in ((PROFILED, f", {count} notifications"), (CONTROL, "")):
            say(f"  {f'{series.name}, {kind}{more}':<46} {_three(_ratios(taken[PLAIN], taken[kind]))}")


def _three(ratios: tuple[float, float, float]) -> str:
    return " ".join(f"{ratio:10.3f}" for ratio in ratios)


def _unprofiled(series: Series) -> list[float]:
    """Return the seconds of all plain requests, the control's among them."""
    return series.seconds[PLAIN] + series.seconds[CONTROL]


def _apart(every: list[Series]) -> float:
    """Return how far the control lay from the plain requests, which are the same: nothing nearer can be told apart."""
    return max(abs(_ratios(series.seconds[PLAIN], series.seconds[CONTROL])[1] - 1) for series in every)


def _starts_apart(every: list[Series]) -> float:
    """Return how far the plain requests of one start of a cloud lay at most from the median of its starts."""
    starts = [series.plain_by_start() for series in every]
    return max(abs(seconds / statistics.median(each) - 1) for each in starts for seconds in each)


def wanted() -> int:
    """Return how many rounds are wanted."""
    return int(os.environ.get("OSPROFILER_BENCH_PAIRS", PAIRS))


def main() -> int:
    """Build what is measured, and measure."""
    parser = argparse.ArgumentParser(prog="python3 -m bench.pairs", description="what profiling costs real requests")
    parser.add_argument("--pairs", type=int, default=wanted(), help=f"how many rounds, {PAIRS} unless told")
    pairs = parser.parse_args().pairs
    with alone(FOLDER, "bench of pairs"):
        heading("getting ready")
        debian.ensure(LOG)
        with step("the release build"):
            command, wheel = build.command(LOG), build.wheel(LOG)
        upstream = environments.cached("openstack", LOG, constrained=True)
        heading("real requests, plain and profiled")
        measure(wheel, upstream, command, pairs)
    return 0


if __name__ == "__main__":
    sys.exit(framed(main))
