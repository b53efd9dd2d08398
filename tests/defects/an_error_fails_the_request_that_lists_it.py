# SPDX-License-Identifier: Apache-2.0
"""Traces with errors are kept apart in MongoDB: the traced program's own error is what leaves the point."""

import os

import seen
from osprofiler import (
    notifier,
    opts,  # noqa: F401  upstream's drivers want the options registered
    profiler,
)
from osprofiler.drivers import base

driver = base.get_driver(os.environ["DEFECT_STORE"], project="defects", service="defect", host="host")
driver.filter_error_trace = True
notifier.set(driver.notify)
seen.trace()
left = []
with seen.unharmed("the request failed"):
    try:
        with profiler.Trace("db"):
            raise LookupError("no such server")
    except LookupError as error:
        left.append(error)
seen.wanted(left, "the program's own error is gone")
