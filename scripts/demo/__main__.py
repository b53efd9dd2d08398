# SPDX-License-Identifier: Apache-2.0
"""`make demo`: a real OpenStack request, recorded by our wheel in unmodified services, shown as tree, page and JSON."""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

from demo import cloud, keeping, scenario, stores
from demo.client import Client, Recording
from demo.cloud import Cloud
from demo.keeping import Keeping
from demo.stores import Store
from house import build, environments, tools
from house.ending import alone, framed
from house.environments import Environment
from house.places import CLONE, DEMO, cache
from house.process import capture, run
from house.progress import at_terminal, heading, say, step
from house.waiting import free_port

LOGS = DEMO / "logs"


def main() -> int:
    """Run the demo."""
    arguments = _arguments()
    started = time.monotonic()
    tools.need_python_of_services()
    tools.need("cargo", "cc", "make")
    for port in (arguments.keystone_port, arguments.glance_port):
        free_port(port)  # said now rather than after minutes of building
    with alone(DEMO, "`make demo`"):
        shutil.rmtree(LOGS, ignore_errors=True)
        heading("getting ready")
        environment, template = _prepare()
        heading("a real request through real services")
        with stores.started(arguments.store) as store:
            recording = _record(environment, template, store, arguments)
            written = _show(environment, recording, store)
            _say_what_next(environment, recording, store, written, arguments)
    say(f"\ndone in {time.monotonic() - started:.0f} s; nothing was left running")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--store", choices=stores.NAMES, default=stores.FILE, help="default: %(default)s")
    parser.add_argument("--keep", action="store_true", help="keep the store's server until Ctrl-C, terminal or not")
    parser.add_argument("--keystone-port", type=int, default=0, help="default: one that the system chooses")
    parser.add_argument("--glance-port", type=int, default=0, help="default: one that the system chooses")
    return parser.parse_args()


def _prepare() -> tuple[Environment, Path]:
    if not environments.is_cached("openstack"):
        say(f"  the first run takes some minutes; what it makes stays in {cache()} for the next")
    with step("building the wheel (`make wheel`)"):
        wheel = build.wheel(LOGS / "wheel.log")
    with step("Keystone 30, Glance 33 and the client from PyPI"):
        base = environments.cached("openstack", LOGS / "environment.log", constrained=True)
    with step("an environment of their own in .demo/environment"):
        environment = environments.copy(base, DEMO / "environment")
    with step("pip install --force-reinstall --no-deps our wheel"):
        environments.swap_in(environment, wheel, LOGS / "environment.log")
    with step("databases, keys and accounts"):
        template = cloud.prepared(base)
    return environment, template


def _record(environment: Environment, template: Path, store: Store, arguments: argparse.Namespace) -> Recording:
    services = Cloud(
        environment,
        template,
        DEMO / "run",
        store.connection_string,
        keystone_port=arguments.keystone_port,
        glance_port=arguments.glance_port,
    )
    try:
        with step("starting Keystone and Glance under uWSGI, profiler on"):
            services.start()
        client = Client(services)
        with step("uploading an image"):
            scenario.upload_image(client, services.folder)
        with step("one request to warm up"):
            scenario.warm_up(client)
        with step("openstack --os-profile 123 image list"):
            recording = scenario.record(client)
        with step("waiting for the trace to be complete"):
            scenario.report(_command(environment), recording.trace_id, store.connection_string, LOGS / "report.log")
    finally:
        with step("ending Keystone and Glance"):
            services.end()
    return recording


def _command(environment: Environment) -> Path:
    return environment.program("osprofiler")


def _show(environment: Environment, recording: Recording, store: Store) -> dict[str, Path]:
    heading("what the client said")
    say(recording.output.data + recording.output.messages.rstrip())
    command = _command(environment)
    which = recording.trace_id, store.connection_string
    heading("where the time went")
    _tree([command, *scenario.show("--tree", *which)])
    written = {form: DEMO / f"report.{form}" for form in ("html", "json")}
    heading("the report")
    for form, path in written.items():
        path.unlink(missing_ok=True)
        show = [*scenario.show(f"--{form}", *which), "-o", path]
        run([command, *show], LOGS / "report.log", what=f"writing {path.name}")
        say(f"  {_relative(path):<22} {path.stat().st_size / 1024:8.0f} KiB, made by")
        say(f"    osprofiler {' '.join(map(str, show[:-1]))} {_relative(path)}")
    if store.look is not None:
        heading("the same in the other store")
        report = json.loads(written["json"].read_text())
        say(store.look(recording.trace_id, sum(point["count"] for point in report["stats"].values())))
    return written


def _say_what_next(
    environment: Environment,
    recording: Recording,
    store: Store,
    written: dict[str, Path],
    arguments: argparse.Namespace,
) -> None:
    """Say what to try, and let the store be there as long as a person tries it."""
    shown = _relative(_command(environment))
    kept = keeping.chosen(arguments.keep)
    heading("what to try next")
    say(f"  open {_relative(written['html'])} in a browser (it needs no network)")
    if store.stays or kept is not Keeping.NOTHING:
        say(f"  export OSPROFILER_CONNECTION_STRING='{store.connection_string}'")
        say(f"  {shown} trace list")
        say(f"  {shown} trace show {recording.trace_id} --depth 2")
        say(f"  {shown} trace show --html {recording.trace_id} -o report.html")
    else:
        keep = f"make demo STORE={arguments.store} DEMO_ARGS=--keep"
        say(f"  the commands above want {arguments.store}, which ends now: `{keep}` keeps it until Ctrl-C")
        say(f"  {shown} trace show {_relative(written['json'])} --depth 2")
    say(f"  {shown} trace show fixtures/server-show.jsonl")
    if not store.stays:
        keeping.hold(kept, arguments.store)


def _tree(command: list) -> None:
    """Print the tree; at a terminal the command itself writes there, and so chooses colours and width."""
    if at_terminal():
        sys.stdout.flush()
        status = os.spawnv(os.P_WAIT, str(command[0]), [str(part) for part in command])
        if status == 0:
            return
    say(capture(command, LOGS / "report.log").data.rstrip())


def _relative(path: Path) -> str:
    return str(path.relative_to(CLONE))


if __name__ == "__main__":
    sys.exit(framed(main))
