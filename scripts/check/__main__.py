# SPDX-License-Identifier: Apache-2.0
"""`make test` and `make lint`: the sections one after the other, their seconds, and the sum."""

import argparse
import shutil
import sys
import time

from check.sections import SECTIONS, Section
from check.tally import Tally
from house import tools
from house.ending import alone, framed
from house.failure import Failure
from house.places import TARGET
from house.progress import heading, paint, say


def main() -> int:
    """Run the sections; return 1 when something failed."""
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", help="only the sections whose names contain one of these words; `lint`: only the quick ones"
    )
    chosen = _chosen(parser, parser.parse_args().parts)
    tools.need_python_of_services()
    tools.need("cargo", "cc", "make")
    heading("== tools, of which only some sections want the last")
    for line in tools.lines("cargo", "cc", "make", "go", "java", "mvn"):
        say(line)
    with alone(TARGET, "`make test`"):
        done = [(section, *_run(section)) for section in chosen]
    return _summary(done)


def _chosen(parser: argparse.ArgumentParser, parts: list[str]) -> list[Section]:
    """Return the sections that the words name, in their order; all without words."""
    named = {
        part: [section for section in SECTIONS if (section.quick if part == "lint" else part in section.name)]
        for part in parts
    }
    unknown = [part for part, sections in named.items() if not sections]
    if unknown:
        names = ", ".join(f"`{section.name}`" for section in SECTIONS)
        parser.error(f"no section is named like `{unknown[0]}`, there are: {names}")
    return [section for section in SECTIONS if not parts or any(section in sections for sections in named.values())]


def _run(section: Section) -> tuple[Tally, float]:
    heading(f"== {section.name}")
    started = time.monotonic()
    try:
        tally = section.run()
    except (Failure, OSError) as failure:
        say(f"{paint('failed', '31')}: {failure}")
        tally = Tally(failed=1, reasons=[str(failure)])
    seconds = time.monotonic() - started
    say(f"-- {section.name}: {tally} in {seconds:.0f} s; {_free_gib():.0f} GiB of the disk are free")
    return tally, seconds


def _free_gib() -> float:
    """Return the space that is left where everything is built."""
    return shutil.disk_usage(TARGET).free / 2**30


def _summary(done: list[tuple[Section, Tally, float]]) -> int:
    for section, tally, _ in done:
        for reason in tally.reasons:
            heading(f"== the end of what failed in {section.name}")
            say(reason)
    heading("== all sections")
    for section, tally, seconds in done:
        mark = paint("failed", "31") if tally.failed else paint("passed", "32")
        say(f"  {section.name:<34} {mark} {seconds:7.0f} s  {tally}")
    total = sum((tally for _, tally, _ in done), Tally())
    say(f"\n{total}")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(framed(main))
