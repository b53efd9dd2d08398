# SPDX-License-Identifier: Apache-2.0
"""What stores on their servers take and give back, beside a bare loop and upstream's driver: one server at a time.

    PYTHONPATH=scripts:tests python3 -m bench.stores [--store NAME]...

What is measured of a store is in the crate, one file of `benches/src/stores/`.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from house import build, debian, environments
from house.ending import alone, framed
from house.environments import Environment
from house.failure import Failure
from house.places import CLONE, TARGET
from house.progress import heading, say, step
from servers import stores

FOLDER = TARGET / "bench-stores"
LOG = FOLDER / "stores.log"


def measure(program: Path, command: Path, peers: Environment, drivers: Iterable[str]) -> dict[str, str]:
    """Measure the stores of these drivers, each beside nothing but its own server; return why some were not, by name.

    One that cannot be had here is no reason to measure nothing else.
    """
    env = os.environ | {"OSPROFILER_BIN": str(command), "OSPROFILER_UPSTREAM_STORES_PYTHON": str(peers.python)}
    unmeasured = {}
    for driver in drivers:
        heading(f"a store on its server: {driver}")
        try:
            with stores.running(driver, FOLDER) as server:
                sys.stdout.flush()
                done = subprocess.run([program, "stores"], cwd=CLONE, env=env | server, check=False)
            if done.returncode != 0:
                unmeasured[driver] = f"its benches ended with status {done.returncode}"
        except Failure as failure:
            unmeasured[driver] = str(failure)
            say(f"not measured: {failure}")
    return unmeasured


def fail_for(unmeasured: dict[str, str]) -> None:
    """Fail if some stores were not measured, with each and why."""
    if unmeasured:
        told = "".join(f"\n  {driver}: {why}" for driver, why in unmeasured.items())
        raise Failure(f"these stores were not measured to the end:{told}")


def main() -> int:
    """Build what is measured, and measure."""
    parser = argparse.ArgumentParser(prog="python3 -m bench.stores", description="what stores take and give back")
    parser.add_argument("--store", action="append", choices=stores.STORES, help="one of them, all unless told")
    drivers = parser.parse_args().store or stores.STORES
    with alone(FOLDER, "bench of stores"):
        heading("getting ready")
        debian.ensure(LOG)
        with step("the release build"):
            command, programs = build.command(LOG), build.benches(LOG)
        with step("upstream's profiler with clients that its drivers work with"):
            peers = environments.cached("upstream-stores", LOG)
        fail_for(measure(programs["osprofiler-benches"], command, peers, drivers))
    return 0


if __name__ == "__main__":
    sys.exit(framed(main))
