# SPDX-License-Identifier: Apache-2.0
"""A program that has no configuration of its own can make a driver and use it."""

import os
import sys

import seen
from osprofiler.drivers import base

with seen.unharmed("the driver cannot be made"):
    driver = base.get_driver(os.environ["DEFECT_STORE"])
    driver.notify(dict.fromkeys(("name", "base_id", "trace_id", "parent_id"), "x-start"))
seen.wanted("osprofiler.opts" not in sys.modules, "the options were registered after all")
