# SPDX-License-Identifier: Apache-2.0
"""What trace points in Python cost their caller, beside upstream's: ours into SQLite, upstream's into a real Redis.

The same program runs in both environments, process after process in turns. Nothing counts that was not found in the
stores afterwards. What importing the profiler takes is measured the same way.
"""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Limit, Ratio
from house.environments import Environment
from house.failure import Failure
from house.process import capture
from house.progress import say, step

PROGRAM = Path(__file__).with_name("points_program.py")
TURNS = 3
OUR_CALLS = 5_000
THEIR_CALLS = 500
IMPORTS = 10
# Reads base ids, one a line; writes how many notifications of them the store has.
COUNT_OURS = """
import sys
from osprofiler.drivers import base
driver = base.get_driver(sys.argv[1])
total = 0
for base_id in sys.argv[2:]:
    waiting = [driver.get_report(base_id)]
    while waiting:
        node = waiting.pop()
        waiting.extend(node["children"])
        total += sum(key.startswith("meta.raw_payload.") for key in node["info"])
print(total)
"""
COUNT_THEIRS = """
import sys
import redis
client = redis.from_url(sys.argv[1])
print(sum(client.llen(f"osprofiler_opt:{base_id}") for base_id in sys.argv[2:]))
"""
MODULES = "import sys; before = len(sys.modules); import osprofiler.profiler; print(len(sys.modules) - before)"

Costs = dict[str, list[float]]


def run(ours: Environment, theirs: Environment, store: str, redis: str, log: Path) -> None:
    """Measure, count what arrived, print."""
    our_costs: Costs = {}
    their_costs: Costs = {}
    for turn in range(1, TURNS + 1):
        with step(f"ours, upstream's: turn {turn} of {TURNS}"):
            _turn(ours, store, OUR_CALLS, COUNT_OURS, our_costs, log)
            _turn(theirs, redis, THEIR_CALLS, COUNT_THEIRS, their_costs, log)
    imports = {}
    for name, environment in (("ours", ours), ("upstream's", theirs)):
        with step(f"{name}: `import osprofiler.profiler`"):
            imports[name] = _imports(environment, log)
    _table(our_costs, their_costs)
    _import_table(imports)
    _verdicts(our_costs, their_costs, imports)


def _turn(environment: Environment, store: str, calls: int, count: str, costs: Costs, log: Path) -> None:
    """Run the program once, add its figures, and see that the store has every notification."""
    output = json.loads(capture([environment.python, PROGRAM, store, str(calls)], log).data)
    # What the loop itself takes is no cost of a call.
    loop = min(output["costs"].pop("loop"))
    for name, figures in output["costs"].items():
        costs.setdefault(name, []).extend(figure - loop for figure in figures)
    wanted = sum(output["traces"].values())
    found = int(capture([environment.python, "-c", count, store, *output["traces"]], log).data)
    if found != wanted:
        raise Failure(
            f"{wanted} notifications were recorded, and the store has {found}: the figures are worth nothing", log
        )


def _imports(environment: Environment, log: Path) -> tuple[list[float], int]:
    """Return the milliseconds that importing the profiler takes, run by run, and how many modules it brings."""
    modules = int(capture([environment.python, "-c", MODULES], log).data)
    words = [environment.python, "-X", "importtime", "-c", "import osprofiler.profiler"]
    return [_cumulative(capture(words, log).messages) for _ in range(IMPORTS)], modules


def _cumulative(messages: str) -> float:
    """Return the milliseconds of the package and of its module, with all that they import."""
    total = 0
    for line in messages.splitlines():
        _, microseconds, name = line.removeprefix("import time:").split("|")
        # Those at the left margin are imported by nobody else; the interpreter's own start is not ours.
        if name.strip() in ("osprofiler", "osprofiler.profiler") and not name.startswith("  "):
            total += int(microseconds)
    return total / 1000


def _table(ours: Costs, theirs: Costs) -> None:
    say(f"\n  {'a call, nanoseconds':<46} {'ours min':>10} {'median':>10} {'theirs min':>12} {'median':>10}")
    for label, case in (
        ("floor: a method, not traced", "plain"),
        ("floor: an empty `with` of C's, and the dict", "empty with"),
        ("`@trace`, no trace", "traced off"),
        ("`@trace(hide_args=True)`, no trace", "hidden off"),
        ("`with Trace(name, info={..})`, no trace", "with off"),
        ("`@trace`, a trace elsewhere in the process", "traced beside"),
        ("`with Trace(..)`, a trace elsewhere", "with beside"),
        ("`@trace`, recorded", "traced on"),
        ("`@trace(hide_args=True)`, recorded", "hidden on"),
        ("`with Trace(name, info={..})`, recorded", "with on"),
    ):
        figures = [min(ours[case]), statistics.median(ours[case]), min(theirs[case]), statistics.median(theirs[case])]
        say(f"  {label:<46} {figures[0]:10,.0f} {figures[1]:10,.0f} {figures[2]:12,.0f} {figures[3]:10,.0f}")


def _import_table(imports: dict[str, tuple[list[float], int]]) -> None:
    say(f"\n  {'`import osprofiler.profiler`':<46} {'min ms':>10} {'median ms':>10} {'modules':>10}")
    for name, (times, modules) in imports.items():
        say(f"  {name:<46} {min(times):10.1f} {statistics.median(times):10.1f} {modules:10d}")


def _verdicts(ours: Costs, theirs: Costs, imports: dict[str, tuple[list[float], int]]) -> None:
    def over(costs: Costs, case: str) -> float:
        return min(costs[case]) - min(costs["plain"])

    lines: Sequence[Limit | Ratio] = (
        Limit("`@trace`, no trace, over the plain call", over(ours, "traced off"), 60, "ns"),
        Ratio("less than upstream's", over(theirs, "traced off") / over(ours, "traced off"), 25),
        Limit("`with Trace`, no trace, the dict included", min(ours["with off"]), 200, "ns"),
        Limit("`@trace`, recorded", min(ours["traced on"]), 1000, "ns"),
        Ratio("less than upstream's into Redis, median", _ratio(theirs, ours, "traced on"), 150),
        Limit("`@trace(hide_args=True)`, recorded", min(ours["hidden on"]), 300, "ns"),
        Limit("`import osprofiler.profiler`", min(imports["ours"][0]), 30, "ms"),
    )
    say("")
    for line in lines:
        say(line.line())
    say("  every notification of every turn was found in the stores")


def _ratio(theirs: Costs, ours: Costs, case: str) -> float:
    return statistics.median(theirs[case]) / statistics.median(ours[case])
