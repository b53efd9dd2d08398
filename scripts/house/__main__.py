# SPDX-License-Identifier: Apache-2.0
"""`make wheel`, `make cli`, `make clean`: build, and take away what was built."""

import argparse
import shutil
import sys

from house import build, tools
from house.ending import framed
from house.places import CLONE, DEMO, DIST, TARGET
from house.progress import say, step

LOGS = TARGET / "logs"


def main() -> int:
    """Do what the argument names."""
    targets = {"wheel": _wheel, "cli": _cli, "clean": _clean}
    parser = argparse.ArgumentParser(prog="make", description=__doc__)
    parser.add_argument("target", choices=targets)
    targets[parser.parse_args().target]()
    return 0


def _wheel() -> None:
    tools.need_environments()
    with step("building the wheel"):
        wheel = build.wheel(LOGS / "wheel.log")
    say(f"  {wheel.relative_to(CLONE)}")


def _cli() -> None:
    with step("building the command"):
        command = build.command(LOGS / "cli.log")
    say(f"  {command.relative_to(CLONE)}")


def _clean() -> None:
    for folder in (DEMO, DIST, TARGET):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(framed(main))
