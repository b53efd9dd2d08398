# SPDX-License-Identifier: Apache-2.0
"""Exceptions by the names that other packages catch."""


class CommandError(Exception):
    """Invalid usage of CLI."""

    def __init__(self, message=None):
        self.message = message

    def __str__(self):
        return self.message or self.__class__.__doc__


class LogInsightAPIError(OSError):
    """A Log Insight server cannot be reached, or answered with an error, when traces were read."""


class LogInsightLoginTimeout(Exception):
    """A session with a Log Insight server has ended.

    Kept for who catches it; nothing here raises it, because sessions are begun anew without asking.
    """
