# SPDX-License-Identifier: Apache-2.0
"""The examples in the documentation of the modules that hook into libraries: each runs, and says what it says there."""

import doctest
import importlib

import pytest
from osprofiler import profiler

MODULES = ["aiohttp", "asgi", "context", "httpx", "messaging", "requests", "urllib3", "web"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_run(name):
    profiler.clean()
    module = importlib.import_module(f"osprofiler.{name}")
    done = doctest.testmod(module)
    assert done.attempted > 0
    assert done.failed == 0
    if hasattr(module, "_enabled"):
        module.disable()
