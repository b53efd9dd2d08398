# SPDX-License-Identifier: Apache-2.0
"""Class methods and static methods that `trace_cls` traces are called as before."""

import seen
from osprofiler import profiler

notifications = seen.collect()
seen.trace()


@profiler.trace_cls("rpc", trace_class_methods=True, trace_static_methods=True)
class Manager:
    @classmethod
    def of(cls, name):
        return cls, name

    @staticmethod
    def plain(name):
        return name


with seen.unharmed("the call failed"):
    seen.wanted(Manager.of("x") == (Manager, "x"), "the class method was given something else")
    seen.wanted(Manager().plain("x") == "x", "the static method was given something else")
seen.wanted(len(seen.find(notifications, "rpc-stop")) == 2, "the calls were not recorded")
