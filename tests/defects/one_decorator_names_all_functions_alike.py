# SPDX-License-Identifier: Apache-2.0
"""A decorator that is kept and used twice tells each function's own name."""

import seen
from osprofiler import profiler

notifications = seen.collect()
seen.trace()
decorator = profiler.trace("x")


@decorator
def one():
    pass


@decorator
def two():
    pass


one()
two()
names = [start["info"]["function"]["name"].rpartition(".")[2] for start in seen.find(notifications, "x-start")]
seen.wanted(names == ["one", "two"], f"the functions are told as {names}")
