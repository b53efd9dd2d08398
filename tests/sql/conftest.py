# SPDX-License-Identifier: Apache-2.0
"""Stores and drawn trees are those of tests/python; the databases are SQLite's, by its plain and its asyncio driver.

`make test` runs this folder once for each version of SQLAlchemy that the package knows, in an environment of its own.
"""

import pytest
import sqlalchemy
from python.conftest import (
    KEY,
    base_id,
    collected,
    draw,
    drawn,
    maybe_tracing,
    own_frames,
    points,
    recording,
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
    "maybe_tracing",
    "own_frames",
    "points",
    "recording",
    "start_info",
    "stop_info",
    "store",
]


@pytest.fixture
def engine():
    """Return a database in memory."""
    engine = sqlalchemy.create_engine("sqlite://")
    yield engine
    engine.dispose()
