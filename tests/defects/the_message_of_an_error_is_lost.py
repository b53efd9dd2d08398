# SPDX-License-Identifier: Apache-2.0
"""An error inside `with Trace(...)` is recorded with its text, not with the first thing it was made of."""

import contextlib

import seen
from osprofiler import profiler

notifications = seen.collect()
seen.trace()
for error in (OSError(2, "No such file"), ValueError(), KeyError("a")):
    with contextlib.suppress(Exception), profiler.Trace("x"):
        raise error
    message = seen.find(notifications, "x-stop")[-1]["info"]["message"]
    seen.wanted(message == str(error), f"the message is {message!r} where the error says {str(error)!r}")
