# SPDX-License-Identifier: Apache-2.0
"""Programs that run beside either profiler, ours or upstream's, and speak with a store through its driver.

Each takes the connection string first. `ours` runs one beside our package, the fixture `upstream` beside upstream's.
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

FIXTURES = Path(__file__).parents[2] / "fixtures"

# Notifications of standard input, one in JSON a line, through the driver of a store; with the argument `errors`, traces
# with errors are kept apart, too.
WRITE = """
import json, sys
from osprofiler import opts
from osprofiler.drivers import base
drivers = {}
for line in sys.stdin:
    notification = json.loads(line)
    origin = notification.pop("project"), notification.pop("service")
    if origin not in drivers:
        drivers[origin] = base.get_driver(sys.argv[1], project=origin[0], service=origin[1], host="h")
        drivers[origin].filter_error_trace = "errors" in sys.argv
    drivers[origin].notify(notification)
try:
    from osprofiler import _native
except ImportError:
    pass
else:
    assert _native.flush(60)["waiting"] == 0
"""
# The report of a trace, the second argument.
REPORT = """
import json, sys
from osprofiler import opts
from osprofiler.drivers import base
print(json.dumps(base.get_driver(sys.argv[1]).get_report(sys.argv[2])))
"""
# All traces; with a further argument those with errors.
LIST = """
import json, sys
from osprofiler import opts
from osprofiler.drivers import base
driver = base.get_driver(sys.argv[1])
traces = driver.list_error_traces() if sys.argv[2:] else driver.list_traces()
print(json.dumps(sorted(traces, key=lambda trace: trace["base_id"]), default=str))
"""


def ours(text: str, *arguments, lines: str = "", **environment: str) -> str:
    """Run Python beside our package; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)],
        input=lines,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def recorded(name: str) -> tuple[str, str]:
    """Return the id of a recorded trace, and its notifications, one a line."""
    lines = (FIXTURES / f"{name}.jsonl").read_text(encoding="utf-8")
    return json.loads(lines.splitlines()[0])["base_id"], lines
