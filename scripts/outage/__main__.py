# SPDX-License-Identifier: Apache-2.0
"""`make outage`: real minutes of outage of real stores, and what became of what a service recorded meanwhile.

OUTAGE_ARGS="--minutes 10 redis postgresql" chooses how long each fault lasts, and the stores. All of them fail at the
same time, each in one way after the other: an hour and a half for everything.
"""

import argparse
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from house import build, debian, environments, tools
from house.ending import alone, framed
from house.failure import Failure
from house.places import TARGET
from house.progress import heading, say, step
from outage import faults, service, stores, trial

FOLDER = TARGET / "outage"
LOG = FOLDER / "outage.log"
DELAY_SECONDS = 1.0


def main() -> int:
    """Build, let each store fail in each way, print the table."""
    arguments = _arguments()
    tools.need_python()
    shutil.rmtree(FOLDER, ignore_errors=True)
    with alone(FOLDER, "`make outage`"):
        heading("getting ready")
        with step("Debian's packages"):
            debian.ensure(LOG)
        python, command = arguments.python, arguments.command
        if command is None:
            with step("the command"):
                command = build.command(LOG)
        if python is None:
            with step("the wheel"):
                wheel = build.wheel(LOG)
            with step("an environment with the wheel"):
                services = environments.cached("openstack", LOG, constrained=True)
                ours = environments.copy(services, FOLDER / "environment")
                environments.swap_in(ours, wheel, LOG)
                python = ours.python
        pace = trial.Pace(arguments.minutes, is_real=True)
        heading(
            f"{arguments.minutes:g} minutes of each fault; memory {trial.QUEUE_MIB} MiB, files {trial.SPOOL_MIB} MiB"
        )
        with ThreadPoolExecutor(len(arguments.stores)) as pool:
            trials = [pool.submit(_rows, name, python, command, pace) for name in arguments.stores]
            try:
                wait(trials)
            except BaseException:
                # Somebody wants this to end; a trial ends with its service.
                service.kill_all()
                raise
        rows, failures = [], []
        for name, tried in zip(arguments.stores, trials, strict=True):
            done, failure = tried.result()
            rows += done
            if failure is not None:
                failures.append(f"{name}: {failure.message}")
        say("")
        _print([trial.Row.HEAD, *(row.cells() for row in rows)])
    if failures:
        raise Failure("\n".join(failures))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make outage", description=__doc__.splitlines()[0])
    parser.add_argument("stores", nargs="*", default=stores.NAMES, help=f"of {', '.join(stores.NAMES)}; all by default")
    parser.add_argument("--minutes", type=float, default=10, help="how long each fault lasts; 10 by default")
    parser.add_argument("--python", type=Path, help="an interpreter with our package; built where none is named")
    parser.add_argument("--command", type=Path, help="the command; built where none is named")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.stores if name not in stores.NAMES]
    if unknown:
        parser.error(f"no such store: {', '.join(unknown)}; there are {', '.join(stores.NAMES)}")
    return arguments


def _rows(name: str, python: Path, command: Path, pace: trial.Pace) -> tuple[list[trial.Row], Failure | None]:
    """Let a store fail in each way; return what came of it, and what went wrong, if something did."""
    rows = []
    try:
        with stores.started(name, FOLDER / "stores" / name, DELAY_SECONDS) as store:
            for number, fault in enumerate(faults.FAULTS):
                if stores.can(name, *fault.begin):
                    folder = FOLDER / "files" / name / str(number)
                    rows.append(trial.run(python, command, store, fault, pace, folder))
                    say(f"  {name} {store.version}: {fault.name}".rstrip())
    except Failure as failure:
        return rows, failure
    return rows, None


def _print(lines: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        texts = zip(line, widths, range(len(widths)), strict=True)
        say("  ".join(cell.ljust(width) if place < 2 else cell.rjust(width) for cell, width, place in texts))


if __name__ == "__main__":
    sys.exit(framed(main))
