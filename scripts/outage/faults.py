# SPDX-License-Identifier: Apache-2.0
"""What can happen to a store: one line a fault."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A fault: what is done to the store when it begins, and to end it."""

    name: str
    begin: tuple[str, ...]
    end: tuple[str, ...]
    # It is there before the service has recorded anything.
    at_start: bool = False
    # The service ends before it, and another one comes after it.
    outlasts_service: bool = False
    # More is recorded than memory and files hold.
    is_too_much: bool = False

    @property
    def loses_data(self) -> bool:
        """Whether the store loses what it had taken."""
        return "lose" in self.begin


DOWN, UP = ("down",), ("up",)
FAULTS = (
    Fault("down at the start", DOWN, UP, at_start=True),
    Fault("down in the middle", DOWN, UP),
    Fault("down at the end", DOWN, UP, outlasts_service=True),
    Fault("down, more than fits", DOWN, UP, is_too_much=True),
    Fault("slow", ("slow",), UP),
    Fault("disk full", ("full",), ("not full",)),
    Fault("another password", ("other password",), ("same password",)),
    Fault("nonsense", ("nonsense",), UP),
    Fault("restarted empty", ("down", "lose"), UP),
)
