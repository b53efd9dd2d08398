# SPDX-License-Identifier: Apache-2.0
"""Build the command ``osprofiler`` and lay it where maturin takes a wheel's scripts from.

Run it before ``maturin build``; the build backend beside this file does. Uses the standard library, Cargo, and
``strip`` if there is one. One ``CARGO_TARGET_DIR`` serves both: what they have in common is compiled once.
"""

import json
import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent.parent
SCRIPTS = HERE / "osprofiler.data" / "scripts"


def make_folder():
    """Make the folder of a wheel's scripts."""
    SCRIPTS.mkdir(parents=True, exist_ok=True)


def lay():
    """Build the command for release and copy it."""
    command = ["cargo", "build", "--release", "--package", "osprofiler-cli", "--bin", "osprofiler"]
    built = subprocess.run(
        [*command, "--message-format", "json-render-diagnostics"],
        cwd=HERE,
        check=True,
        stdout=subprocess.PIPE,
    )
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    executable = [message["executable"] for message in messages if message.get("executable")][-1]
    make_folder()
    shutil.copy2(executable, SCRIPTS / "osprofiler")
    if shutil.which("strip"):
        subprocess.run(["strip", SCRIPTS / "osprofiler"], check=True)


if __name__ == "__main__":
    lay()
