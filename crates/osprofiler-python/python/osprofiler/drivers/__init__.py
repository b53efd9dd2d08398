# SPDX-License-Identifier: Apache-2.0
"""Drivers: where notifications go, and where reports come from. Each module is imported when it is first used."""

import importlib

_MODULES = frozenset(
    (
        "base",
        "elasticsearch_driver",
        "jaeger",
        "loginsight",
        "messaging",
        "mongodb",
        "otlp",
        "redis_driver",
        "several",
        "sqlalchemy_driver",
        "store",
    )
)


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
