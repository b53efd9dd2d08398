# SPDX-License-Identifier: Apache-2.0
"""Outside of any trace, a traced function's arguments are not looked at."""

import seen
from osprofiler import profiler


class Argument:
    def __repr__(self):
        raise RuntimeError("repr was called")


@profiler.trace("x")
def traced(argument):
    return "returned"


with seen.unharmed("the call failed"):
    seen.wanted(traced(Argument()) == "returned", "something else was returned")
