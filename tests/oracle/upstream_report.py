# SPDX-License-Identifier: Apache-2.0
"""Make upstream's report of each trace in a folder: `x.jsonl` becomes `x.upstream.json`.

Run by the interpreter of an environment with upstream's profiler. Its driver is given the notifications in the order of
the lines, as its own drivers would give them; a report that upstream cannot make becomes the name of the exception.
"""

import json
import sys
from pathlib import Path

from osprofiler.drivers import base


def report_of(path: Path) -> str:
    """Return upstream's report of one trace as JSON text."""
    driver = base.Driver("oracle://")
    for line in path.read_text(encoding="utf-8").splitlines():
        notification = json.loads(line)
        driver._append_results(
            notification["trace_id"],
            notification["parent_id"],
            notification["name"],
            notification["project"],
            notification["service"],
            notification["info"].get("host"),
            notification["timestamp"],
            notification,
        )
    return json.dumps(driver._parse_results(), indent=2)


def main(folder: Path) -> None:
    """Write the report of each trace beside it."""
    for path in sorted(folder.glob("*.jsonl")):
        try:
            text = report_of(path)
        except (RecursionError, ValueError) as error:
            text = type(error).__name__
        path.with_suffix(".upstream.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
