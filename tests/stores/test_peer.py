# SPDX-License-Identifier: Apache-2.0
"""The peer is what the comparisons are about."""


def test_upstreams_profiler_has_clients_that_its_drivers_work_with(upstream):
    """Later ones make three of its drivers useless, and then nothing would be compared."""
    text = """
import importlib.metadata as installed
print(*(installed.version(name) for name in ("osprofiler", "SQLAlchemy", "elasticsearch")))
"""
    profiler, sqlalchemy, elasticsearch = upstream(text).split()
    assert profiler == "4.4.0"
    assert sqlalchemy.startswith("1.4.")
    assert tuple(map(int, elasticsearch.split(".")[:2])) < (7, 14)
