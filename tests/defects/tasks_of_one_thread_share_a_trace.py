# SPDX-License-Identifier: Apache-2.0
"""Two tasks of asyncio that serve two requests record into two traces."""

import asyncio

import seen
from osprofiler import profiler

notifications = seen.collect()


async def serve(base_id, entered, go_on):
    profiler.init(seen.KEY, base_id)
    with profiler.Trace(base_id):
        entered.set()
        await go_on.wait()
    profiler.clean()


async def main():
    first, second = asyncio.Event(), asyncio.Event()
    await asyncio.gather(serve("A", first, second), serve("B", second, first))


asyncio.run(main())
found = {(notification["name"], notification["base_id"], notification["parent_id"]) for notification in notifications}
expected = {(f"{base_id}-{end}", base_id, base_id) for base_id in "AB" for end in ("start", "stop")}
seen.wanted(found == expected, f"the second task's point is below the first's: {sorted(found - expected)}")
