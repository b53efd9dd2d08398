# SPDX-License-Identifier: Apache-2.0
"""The one exception that ends a target: a line for the person, and where there is one, the log that explains it."""

from pathlib import Path

# Some programs say what failed first, and then much else.
LINES_SHOWN = 60


class Failure(Exception):
    """Something a person has to know; `log` is the file whose end explains it."""

    def __init__(self, message: str, log: Path | None = None):
        """Keep the message and the log's path."""
        super().__init__(message)
        self.message = message
        self.log = log

    def __str__(self) -> str:
        """Return the message, followed by the end of the log."""
        lines = [self.message]
        if self.log is not None and self.log.exists():
            end = self.log.read_text(errors="replace").splitlines()[-LINES_SHOWN:]
            lines.append(f"the end of {self.log}:")
            lines.extend(f"    {line}" for line in end)
        return "\n".join(lines)
