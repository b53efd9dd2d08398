# SPDX-License-Identifier: Apache-2.0
"""The fenced blocks of a document, in order: what they hold, and what their info string says they are.

The first word of the info string is the block's kind, the others are files that it goes into.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^( *)(`{3,}|~{3,})(.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind, its files, its text, and the line that its fence is on."""

    kind: str
    files: tuple[str, ...]
    text: str
    line: int


def blocks(document: Path) -> list[Block]:
    """Return the document's blocks; a fence that is never closed is a fault."""
    found = []
    lines = iter(enumerate(document.read_text().splitlines(), 1))
    for number, line in lines:
        opening = FENCE.match(line)
        if opening is None:
            continue
        indent, fence, info = opening.groups()
        text = []
        for _, inner in lines:
            if inner.strip() == fence:
                break
            text.append(inner.removeprefix(indent) + "\n")
        else:
            raise AssertionError(f"{document}:{number}: the fence is never closed")
        kind, *files = info.split() or [""]
        found.append(Block(kind, tuple(files), "".join(text), number))
    return found
