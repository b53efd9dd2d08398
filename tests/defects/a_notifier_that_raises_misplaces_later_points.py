# SPDX-License-Identifier: Apache-2.0
"""Whatever a notifier does at one point, the next hangs where it belongs."""

import contextlib

import seen
from osprofiler import notifier, profiler

notifications = []
ends = iter(("start", "stop"))
failing = next(ends)


def notify(info):
    global failing
    notifications.append(info)
    if failing and info["name"] == f"failing-{failing}":
        failing = next(ends, None)
        raise RuntimeError("the store is down")


notifier.set(notify)
seen.trace("B")
for _ in range(2):
    with contextlib.suppress(RuntimeError), profiler.Trace("failing"):
        pass
with profiler.Trace("sibling"):
    pass
(sibling,) = seen.find(notifications, "sibling-start")
seen.wanted(
    sibling["parent_id"] == "B", f"the next sibling is recorded below a point that is over: {sibling['parent_id']}"
)
