# SPDX-License-Identifier: Apache-2.0
"""The point of an `async def` function lasts as long as the coroutine, and has its error."""

import asyncio
import contextlib
import inspect

import seen
from osprofiler import profiler

notifications = seen.collect()
order = []


@profiler.trace("async")
async def traced():
    await asyncio.sleep(0)
    order.append(len(notifications))
    raise ValueError("its own")


async def main():
    seen.trace()
    with contextlib.suppress(ValueError):
        await traced()


seen.wanted(inspect.iscoroutinefunction(traced), "a traced coroutine function is none any more")
asyncio.run(main())
seen.wanted(order == [1], "the point ended before the coroutine ran")
(stop,) = seen.find(notifications, "async-stop")
seen.wanted(stop["info"].get("etype") == "ValueError", "the coroutine's error is not in its point")
