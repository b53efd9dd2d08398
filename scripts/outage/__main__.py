# SPDX-License-Identifier: Apache-2.0
"""`make outage`: real minutes of outage of real stores, and what became of what a service recorded meanwhile.

OUTAGE_ARGS="--minutes 10 redis postgresql" chooses how long each fault lasts, and the stores. All of them fail in all
ways at the same time, so everything takes little longer than one fault; what is done to a server itself, and not on the
way to it, has a server of its own.
"""

import argparse
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

from house import build, debian, environments, tools
from house.ending import alone, framed
from house.failure import Failure
from house.places import TARGET
from house.progress import heading, say, step
from outage import faults, service, stores, trial
from outage.faults import Fault

FOLDER = TARGET / "outage"
LOG = FOLDER / "outage.log"
DELAY_SECONDS = 1.0
# Ten minutes of a service take some 16.
SPOOL_MIB = 32
# All of them catch up at the same time, on whatever machine this is.
CATCH_UP_SECONDS = 1800
# One server starts after the other: all at once they take too long for this machine.
_starting = threading.Lock()


def main() -> int:
    """Build, let each store fail in each way, print the table."""
    arguments = _arguments()
    tools.need_python_of_services()
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
        pace = trial.Pace(arguments.minutes, is_real=True, spool_mib=SPOOL_MIB, catch_up_seconds=CATCH_UP_SECONDS)
        heading(f"{arguments.minutes:g} minutes of each fault; memory {trial.QUEUE_MIB} MiB, files {SPOOL_MIB} MiB")
        groups = [(name, group) for name in arguments.stores for group in _groups(name)]
        with ThreadPoolExecutor(len(groups)) as pool:
            tried = [pool.submit(_tried, name, group, python, command, pace) for name, group in groups]
            try:
                wait(tried)
            except BaseException:
                # Somebody wants this to end; a trial ends with its service, and those that wait do not begin.
                service.kill_all()
                raise
        results = [result for group in tried for result in group.result()]
        failures = [result.message for result in results if isinstance(result, Failure)]
        say("")
        rows = [result.cells() for result in results if isinstance(result, trial.Row)]
        for line in trial.table(rows) + stores.untried(arguments.stores):
            say(line)
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


def _groups(name: str) -> list[list[Fault]]:
    """Return a store's faults, those together that one server can have at the same time."""
    possible = [fault for fault in faults.FAULTS if stores.can(name, *fault.begin)]
    shared = [fault for fault in possible if stores.is_shared(name, fault)]
    return [*([shared] if shared else []), *([fault] for fault in possible if fault not in shared)]


def _tried(name: str, group: list[Fault], python: Path, command: Path, pace: trial.Pace) -> list[trial.Row | Failure]:
    """Let a store fail in these ways at the same time; return what came of each."""
    folder = FOLDER / "stores" / name / group[0].name.replace(" ", "-")

    def one(number: int, fault: Fault) -> trial.Row | Failure:
        try:
            with store(number) as failing:
                row = trial.run(python, command, failing, fault, pace, folder / "spools" / str(number))
                say(f"  {name} {failing.version}: {fault.name}".rstrip())
                return row
        except Failure as failure:
            return Failure(f"{name}, {fault.name}: {failure}")

    try:
        with ExitStack() as stack, ThreadPoolExecutor(len(group)) as pool:
            with _starting:
                service.fail_if_over()
                store = stack.enter_context(stores.serving(name, folder, DELAY_SECONDS))
            return list(pool.map(one, range(stores.NUMBER, stores.NUMBER + len(group)), group))
    except Failure as failure:
        return [Failure(f"{name}: {failure}")]


if __name__ == "__main__":
    sys.exit(framed(main))
