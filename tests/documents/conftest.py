# SPDX-License-Identifier: Apache-2.0
"""What the tests of the documents share: the mounts of their own, the services as they come from PyPI."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from machine import Machine, enter_namespace

from demo import cloud
from house.environments import Environment


@pytest.fixture(scope="session")
def machine() -> Callable[[str], Machine]:
    """Return what makes a machine for a document of that name."""
    upstream = Environment(Path(os.environ["OSPROFILER_UPSTREAM_PYTHON"]).parents[1])
    template = cloud.prepared(upstream)
    enter_namespace()
    return lambda name: Machine(name, upstream, template)
