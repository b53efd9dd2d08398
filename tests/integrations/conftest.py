# SPDX-License-Identifier: Apache-2.0
"""Drawn trees are those of tests/python; one store is enough here, where the libraries vary that we hook into."""

import pytest
from python.conftest import (
    KEY,
    Store,
    base_id,
    collected,
    draw,
    drawn,
    maybe_tracing,
    own_frames,
    points,
    recording,
    run_python,
    start_info,
    stop_info,
)

__all__ = [
    "KEY",
    "base_id",
    "collected",
    "draw",
    "drawn",
    "maybe_tracing",
    "own_frames",
    "points",
    "recording",
    "run_python",
    "start_info",
    "stop_info",
]


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Return a store that several processes may write."""
    return Store(f"sqlite://{tmp_path_factory.mktemp('store') / 'traces'}", service="integrations")
