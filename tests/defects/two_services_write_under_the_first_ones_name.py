# SPDX-License-Identifier: Apache-2.0
"""A notifier is what its arguments say; one that could not be made can be the next time."""

import seen
from osprofiler import notifier
from osprofiler.drivers import base


class Memory(base.Driver):
    is_down = False

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        if Memory.is_down:
            raise RuntimeError("down")

    @classmethod
    def get_name(cls):
        return "memory"

    def notify(self, info):
        pass


made = [notifier.create("memory://", service=service).__self__.service for service in ("api", "scheduler")]
seen.wanted(made == ["api", "scheduler"], f"both write as {made[0]}")
Memory.is_down = True
notifier.create("memory://again")
Memory.is_down = False
seen.wanted(notifier.create("memory://again") is not notifier._noop_notifier, "one failure disables it for ever")
