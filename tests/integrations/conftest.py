# SPDX-License-Identifier: Apache-2.0
"""Stores and drawn trees are those of tests/python; here run the libraries that the package hooks into."""

from python.conftest import (
    KEY,
    base_id,
    collected,
    draw,
    drawn,
    points,
    recording,
    run_python,
    start_info,
    stop_info,
    store,
)

__all__ = [
    "KEY",
    "base_id",
    "collected",
    "draw",
    "drawn",
    "points",
    "recording",
    "run_python",
    "start_info",
    "stop_info",
    "store",
]
