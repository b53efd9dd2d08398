# SPDX-License-Identifier: Apache-2.0
"""The service of `served_app` that has recorded, and stored, before a server forks its workers.

So its store is connected to when it is forked. In: besides the other's, the id of a trace in TRACE_LOADED.
"""

import os

from osprofiler import _native, profiler
from served_app import application

__all__ = ["application"]

profiler.init("key", os.environ["TRACE_LOADED"])
with profiler.Trace("loaded"):
    pass
profiler.clean()
counters = _native.flush(60)
assert counters["waiting"] == counters["lost"] == 0, counters
