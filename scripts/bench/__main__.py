# SPDX-License-Identifier: Apache-2.0
"""`make bench`: the crate's benches, stores on their servers, then trace points of Python and the report as a process.

Each stands beside upstream's. Points and reports of ours go into SQLite and are read from there; upstream's do the same
with a real Redis. Real requests come last: plain and profiled in turns, by us and by upstream's profiler (`pairs`).
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from bench import material, pairs, points, stores
from bench.figures import Figure, Ratio, measure, table
from house import build, debian, environments, tools
from house.ending import alone, framed
from house.environments import Environment
from house.failure import Failure
from house.places import CLONE, TARGET
from house.process import capture, run
from house.progress import heading, say, step
from servers.redis import Redis
from servers.stores import STORES

FOLDER = TARGET / "bench"
LOG = FOLDER / "bench.log"
SMALL = CLONE / "fixtures" / "token-issue.jsonl"
SMALL_ID = "7e06548b-f0a0-40e9-8bba-edf75d94e926"
# Upstream's Redis driver keeps a list a trace, the newest notification first.
LOAD_REDIS = """
import sys
import redis
url, key, path = sys.argv[1:]
pipeline = redis.from_url(url).pipeline(transaction=False)
for line in open(path):
    pipeline.lpush(key, line.strip())
pipeline.execute()
"""


def main() -> int:
    """Build, prepare, measure, print."""
    tools.need_python_of_services()
    tools.need("cargo", "cc")
    heading("tools, of which only some stores want the last")
    for line in tools.lines("cargo", "cc", "go", "java", "mvn"):
        say(line)
    shutil.rmtree(FOLDER, ignore_errors=True)
    with alone(FOLDER, "`make bench`"):
        heading("getting ready")
        with step("Debian's packages"):
            debian.ensure(LOG)
        with step("the release build"):
            command = build.command(LOG)
            programs = build.benches(LOG)
            wheel = build.wheel(LOG)
        with step("upstream's profiler from PyPI"):
            upstream = environments.cached("openstack", LOG, constrained=True)
        with step("the same with the wheel swapped in"):
            ours = environments.copy(upstream, FOLDER / "environment")
            environments.swap_in(ours, wheel, LOG)
        with step("upstream's profiler with clients that its drivers work with"):
            peers = environments.cached("upstream-stores", LOG)
        heading("inside: the crate's benches")
        _inside(programs["osprofiler-benches"])
        unmeasured = stores.measure(programs["osprofiler-benches"], command, peers, STORES)
        with Redis(FOLDER / "redis") as redis:
            heading("inside Python: trace points")
            points.run(ours, upstream, f"sqlite://{FOLDER}/points.db", redis.url, LOG)
            heading("outside: the report as a process")
            _outside(command, programs, upstream, redis)
        heading("real requests, plain and profiled")
        pairs.measure(wheel, upstream, command, pairs.wanted())
        stores.fail_for(unmeasured)
    return 0


def _inside(program: Path) -> None:
    sys.stdout.flush()
    # One of them builds a program of its own; it is there already, in the same target folder.
    status = subprocess.run([program], cwd=CLONE, env=build.cargo_environment(), check=False).returncode
    if status != 0:
        raise Failure(f"the crate's benches ended with status {status}")


def _outside(command: Path, programs: dict[str, Path], upstream: Environment, redis: Redis) -> None:
    store = f"sqlite://{FOLDER}/traces.db"
    with step(f"{material.NOTIFICATIONS:,} notifications into SQLite and Redis"):
        _fill(programs["fill"], store, upstream, redis.url)
    ours = [command, "trace", "show", "--json", "--connection-string", store]
    theirs = [upstream.program("osprofiler"), "trace", "show", "--json", "--connection-string", redis.url]
    with step("both give the same report"):
        _compare(ours, theirs)

    def take(name: str, runs: int, words: list) -> Figure:
        with step(name):
            return measure(programs["measure"], name, runs, words, LOG)

    floor = take("floor: `/bin/true`", 50, ["/bin/true"])
    small = take("ours: `trace show` of a small trace", 50, [*ours, SMALL_ID])
    ours_big = take("ours: report of the big trace, from SQLite", 7, [*ours, material.BASE_ID])
    theirs_big = take("upstream's: the same, from Redis", 3, [*theirs, material.BASE_ID])
    table("process", [floor, small, ours_big, theirs_big])
    say("")
    say(Ratio("faster than upstream's, median", theirs_big.median / ours_big.median, 20).line())
    say(Ratio("leaner than upstream's, peak", theirs_big.peak_kib / ours_big.peak_kib, 5).line())
    say(Ratio("15 ms are so many times a small trace's median", 0.015 / small.median, 1).line())


def _fill(fill: Path, store: str, upstream: Environment, redis: str) -> None:
    big = FOLDER / "big.jsonl"
    material.write_big_trace(big)
    run([fill, material.BASE_ID, f"file://{big}", store], LOG)
    run([fill, SMALL_ID, f"file://{SMALL}", store], LOG)
    run([upstream.python, "-c", LOAD_REDIS, redis, f"osprofiler_opt:{material.BASE_ID}", big], LOG)


def _compare(ours: list, theirs: list) -> None:
    """Fail unless both reports have the same statistics: a fast wrong answer is no figure."""
    stats = [json.loads(capture([*command, material.BASE_ID], LOG).data)["stats"] for command in (ours, theirs)]
    if stats[0] != stats[1]:
        raise Failure(f"the reports differ: ours {stats[0]}, upstream's {stats[1]}")


if __name__ == "__main__":
    sys.exit(framed(main))
