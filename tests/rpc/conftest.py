# SPDX-License-Identifier: Apache-2.0
"""Drawn trees are those of tests/python; the services' processes write one store."""

import pytest
from python.conftest import Store, base_id, points, start_info

__all__ = ["base_id", "points", "start_info"]


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Return a store that several processes may write."""
    return Store(f"sqlite://{tmp_path_factory.mktemp('store') / 'traces'}", service="rpc")
