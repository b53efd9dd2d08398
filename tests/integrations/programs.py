# SPDX-License-Identifier: Apache-2.0
"""Programs that trace in a process of their own: what eventlet or gevent has patched stays there.

In: the lines of a program. It finds `store`, `base_id`, `profiler` and `work`, which is a point `work`. Out: nothing;
what it has recorded is in the store once it has ended.
"""

import textwrap

from python.conftest import run_python

PRELUDE = """
import sys
from osprofiler import notifier, profiler

base_id = sys.argv[2]
notifier.set(notifier.create(sys.argv[1], project="tests", service=sys.argv[3]))


def work():
    with profiler.Trace("work"):
        pass
"""


def run_program(lines, store, base_id, first=""):
    """Run a program to its end and fail with what it says if it fails; `first` comes before everything else."""
    parts = [textwrap.dedent(part) for part in (first, PRELUDE, lines)]
    # Eventlet warns that it is deprecated.
    arguments = (store.connection_string, base_id, store.service)
    done = run_python("\n".join(parts), *arguments, PYTHONWARNINGS="ignore")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
