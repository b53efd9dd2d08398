# SPDX-License-Identifier: Apache-2.0
"""Building the command and the wheel, from one release build whose intermediate files lie in the cache.

`CARGO_TARGET_DIR`, where it is set, wins. Results are copied out: clones that share the cache don't share results.
"""

import json
import os
import shutil
import sys
from pathlib import Path

from house.ending import one_at_a_time
from house.environments import Environment, cached
from house.failure import Failure
from house.places import CLONE, DIST, TARGET, cache
from house.process import capture, run
from house.tools import need, rust_version

PACKAGE = CLONE / "crates" / "osprofiler-python"


def cargo_environment() -> dict[str, str]:
    """Return the variables for Cargo: ours, with the target folder in the cache unless one is set.

    What a fresh clone builds is new to Cargo, so its incremental files would only take a gigabyte of the disk.
    """
    env = dict(os.environ)
    env.setdefault("CARGO_INCREMENTAL", "0")
    env.setdefault("CARGO_TARGET_DIR", str(cache() / f"cargo-{rust_version()}"))
    return env


def command(log: Path) -> Path:
    """Build the `osprofiler` command; return its path, `target/release/osprofiler`."""
    wanted = TARGET / "release" / "osprofiler"
    _replace(_programs("osprofiler-cli", log)["osprofiler"], wanted)
    return wanted


def benches(log: Path) -> dict[str, Path]:
    """Build the programs of the benches; return their paths by name."""
    return _programs("osprofiler-benches", log)


def _programs(package: str, log: Path) -> dict[str, Path]:
    """Build a package's programs for release; return where Cargo left them."""
    need("cargo", "cc")
    cargo = ["cargo", "build", "--release", "-p", package, "--message-format=json-render-diagnostics"]
    messages = map(json.loads, capture(cargo, log, cargo_environment(), cwd=CLONE).data.splitlines())
    return {message["target"]["name"]: Path(message["executable"]) for message in messages if message.get("executable")}


def wheel(log: Path) -> Path:
    """Build the wheel for the running Python; return its path, the only one in `dist/`."""
    need("cargo", "cc")
    tools = cached("tools", log)
    with one_at_a_time(TARGET / "wheels"):
        return _wheel(tools, TARGET / "wheels", log)


def newest_wheel() -> Path:
    """Return the path of the wheel that was built last, the only one in `dist/`."""
    wheels = list(DIST.glob("osprofiler-*.whl"))
    if len(wheels) != 1:
        raise Failure(f"{len(wheels)} wheels are in {DIST}, and one is wanted: `make wheel` makes it")
    return wheels[0]


def _wheel(tools: Environment, built: Path, log: Path) -> Path:
    shutil.rmtree(built, ignore_errors=True)
    env = cargo_environment()
    # What the package's build backend does before it calls maturin.
    run([sys.executable, PACKAGE / "build_backend" / "command.py"], log, env, cwd=CLONE, what="building the command")
    maturin = [tools.program("maturin"), "build", "--release", "--compatibility", "linux", "--out", built]
    this = ["--manifest-path", PACKAGE / "Cargo.toml", "--interpreter", sys.executable]
    run([*maturin, *this], log, env, cwd=CLONE, what="building the wheel")
    wheels = sorted(built.glob("*.whl"))
    if len(wheels) != 1:
        raise Failure(f"maturin left {len(wheels)} wheels in {built}, and one is wanted", log)
    for old in DIST.glob("osprofiler-*.whl"):
        old.unlink()
    wanted = DIST / wheels[0].name
    _replace(wheels[0], wanted)
    return wanted


def _replace(built: Path, wanted: Path) -> None:
    """Copy so that a reader, or a running program, of the old file keeps it."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    new = wanted.with_name(f".{wanted.name}.new")
    shutil.copy2(built, new)
    new.replace(wanted)
