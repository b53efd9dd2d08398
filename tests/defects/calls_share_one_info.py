# SPDX-License-Identifier: Apache-2.0
"""Each call of a traced function has an info of its own."""

import seen
from osprofiler import profiler

notifications = seen.collect()
seen.trace()


@profiler.trace("count")
def count(number):
    if number:
        count(number - 1)


count(2)
arguments = [start["info"]["function"]["args"] for start in seen.find(notifications, "count-start")]
seen.wanted(arguments == ["(2,)", "(1,)", "(0,)"], f"the calls' arguments are told as {arguments}")
