# SPDX-License-Identifier: Apache-2.0
"""Follows a document as a newcomer would: every fenced block is run, written, parsed or compared, by its kind.

    sh            runs in one shell for the whole document; a command that fails is a fault
    text          what the `sh` or `python` block before it prints; in a line, `...` stands for anything, and
                  alone for any lines
    python        runs in one process for the whole document; prints, and records the points, that the `text` below it
                  shows, or nothing
    python FILE   is written to FILE, which a later `sh` block has to name
    pycon         an interactive session: each answer is as shown
    ini FILE...   is parsed with the real options (or paste, for a filter), and added to the files, if there are any
    rust          is a whole example of the crate's documentation, which `cargo test` runs

In `sh`, the word `ID` stands for the trace whose id was printed last. Any other kind is a fault.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from blocks import Block, blocks
from machine import Machine
from options import check_ini

from demo import scenario
from house.failure import Failure
from house.places import CLONE
from house.process import capture

UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
PLACEHOLDER = re.compile(r"\bID\b")
CONNECTION_STRING = re.compile(r"^connection_string *= *(\S+)", re.MULTILINE)
# One shell for the whole document: what it has exported, and where it is, is kept in the file `$1` from block to block.
SHELL = """
exec 2>&1
set -eo pipefail
[ ! -e "$1" ] || . "$1"
trap 'export -p > "$1"; printf "cd %q" "$PWD" >> "$1"' EXIT
"""


class Follower:
    """Follows one document on a machine."""

    def __init__(self, document: Path, machine: Machine):
        """Begin before the first block."""
        self.document = document
        self.machine = machine
        self.left = blocks(document)
        self.trace_id: str | None = None
        self.store: str | None = None
        self.session: subprocess.Popen | None = None
        self.kinds: dict[str, Callable[[Block], str | None]] = {
            "ini": self._ini,
            "pycon": self._python,
            "python": self._python,
            "rust": self._rust,
            "sh": self._sh,
        }

    def follow(self) -> None:
        """Follow it to its end; fail with the line of the block that isn't so."""
        try:
            while self.left:
                block = self.left.pop(0)
                try:
                    self._follow(block)
                except (AssertionError, Failure) as fault:
                    raise AssertionError(f"{self.document}:{block.line}: {fault}") from None
        finally:
            if self.session is not None:
                self.session.communicate()

    def _follow(self, block: Block) -> None:
        assert block.kind in self.kinds, f"a block of the kind `{block.kind}`: a block is one of {sorted(self.kinds)}"
        output = self.kinds[block.kind](block)
        if output is None:
            return
        shown = self.left.pop(0).text if self.left and self.left[0].kind == "text" else None
        if shown is None and block.kind == "sh":
            return
        assert _matches(shown or "", output), f"shown is\n{shown or '(no `text` block)'}\nand it was\n{output}"

    def _sh(self, block: Block) -> str:
        text = block.text
        if PLACEHOLDER.search(text):
            assert self.trace_id, "`ID` stands for a trace, and nothing has printed an id"
            text = PLACEHOLDER.sub(self.trace_id, text)
            self._await_trace()
        command = ["bash", "-c", SHELL + text, "bash", self.machine.folder / "state"]
        output = capture(command, self.machine.log, self.machine.env, cwd=self.machine.clone).data
        printed = UUID.findall(output)
        self.trace_id = printed[-1] if printed else self.trace_id
        return output

    def _await_trace(self) -> None:
        """Wait until all of a trace that services recorded is stored, as it is by the time that a person has typed."""
        program = CLONE / "target" / "release" / "osprofiler"
        if self.store is None:
            return
        show = [program, *scenario.show("--json", self.trace_id, self.store)]
        if subprocess.run(show, capture_output=True, check=False).returncode == 0:
            scenario.report(program, self.trace_id, self.store, self.machine.log)

    def _python(self, block: Block) -> str | None:
        if block.files:
            (name,) = block.files
            used = any(later.kind == "sh" and name in later.text for later in self.left)
            assert used, f"nothing runs `{name}` later"
            (self.machine.clone / name).write_text(block.text)
            return None
        if self.session is None:
            program = [sys.executable, Path(__file__).with_name("session.py"), self.machine.folder / "python.db"]
            self.session = subprocess.Popen(
                program, cwd=self.machine.clone, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        place = f"{self.document.name}:{block.line}"
        self.session.stdin.write(json.dumps({"kind": block.kind, "text": block.text, "place": place}) + "\n")
        self.session.stdin.flush()
        answer = json.loads(self.session.stdout.readline())
        assert not answer.get("error"), answer["error"]
        return answer.get("output")

    def _ini(self, block: Block) -> None:
        check_ini(block.text)
        for name in block.files:
            path = self.machine.clone / name
            with path.open("a") as file:
                file.write(f"\n{block.text}")
        self.store = (CONNECTION_STRING.findall(block.text) or [self.store])[-1]

    def _rust(self, block: Block) -> None:
        documentation = (CLONE / "crates" / "osprofiler" / "src" / "lib.rs").read_text()
        lines = [line.removeprefix("//!").removeprefix(" ") for line in documentation.splitlines()]
        # What `# ` begins, the documentation does not show.
        shown = "".join(f"{line}\n" for line in lines if not line.startswith("# "))
        assert f"```\n{block.text}```\n" in shown, "it is no whole example of the crate"


def _matches(shown: str, output: str) -> bool:
    lines = [
        "(?:.*\n)*" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + "\n"
        for line in shown.splitlines()
    ]
    return re.fullmatch("".join(lines), "".join(f"{line}\n" for line in output.splitlines())) is not None
