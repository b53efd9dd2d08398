# SPDX-License-Identifier: Apache-2.0
"""The features of the workspace's crates, read from Cargo: each has to compile alone, and none of them too.

What begins with `_` is a part that features share, and nothing that anybody names.
What a crate does only without a feature is tested without any.
"""

import json
import subprocess

from house.places import CLONE


def commands() -> list[list[str]]:
    """Return a `cargo check` for each crate without features, and with each of its features alone."""
    text = subprocess.run(
        ["cargo", "metadata", "--no-deps", "--format-version", "1"],
        cwd=CLONE,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = []
    for package in json.loads(text)["packages"]:
        named = [feature for feature in package["features"] if not feature.startswith("_")]
        features = sorted(set(named) - {"default"})
        if not features:
            continue
        check = ["cargo", "check", "-q", "-p", package["name"], "--no-default-features"]
        found.append(check)
        found.extend([*check, "--features", feature] for feature in features)
    return found


def tests() -> list[list[str]]:
    """Return what runs the tests of what is only there without features: a driver left out still answers by name."""
    return [["cargo", "test", "-q", "-p", "osprofiler", "--no-default-features", "--lib", "registry"]]
