# SPDX-License-Identifier: Apache-2.0
"""Recording threads race with the sweeper, with ThreadSanitizer: red where an ordering of atomics is too weak.

The compiler that everybody has brings the sanitizer; only the switch is one of unstable versions. The standard library
stays without.
"""

import subprocess
from pathlib import Path

from house import build

COMMAND = ["cargo", "test", "-q", "-p", "osprofiler", "--no-default-features", "--test", "hand_over"]


def command() -> list[str]:
    """Return the command; it names a target, so that build scripts are built without the sanitizer."""
    return [*COMMAND, "--target", _host()]


def environment() -> dict[str, str]:
    """Return the variables for Cargo; what it builds lies apart, so that neither build throws away the other's."""
    env = build.cargo_environment()
    env["CARGO_TARGET_DIR"] = str(Path(env["CARGO_TARGET_DIR"]) / "thread-sanitizer")
    env["RUSTC_BOOTSTRAP"] = "1"
    env["RUSTFLAGS"] = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"
    return env


def _host() -> str:
    said = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    lines = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    return lines["host"]
