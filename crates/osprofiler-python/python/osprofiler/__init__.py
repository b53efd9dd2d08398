# SPDX-License-Identifier: Apache-2.0
"""Follow one request through every OpenStack service it touches.

The work is done by the native module ``osprofiler._native``; the Python files keep the import paths and signatures that
services know. Submodules are imported when they are first used.
"""

from osprofiler._native import __version__

__all__ = ["__version__"]

_SUBMODULES = frozenset(
    (
        "_utils",
        "aiohttp",
        "asgi",
        "cmd",
        "context",
        "drivers",
        "exc",
        "hacking",
        "httpx",
        "initializer",
        "messaging",
        "notifier",
        "opts",
        "profiler",
        "requests",
        "sqlalchemy",
        "urllib3",
        "web",
    )
)


def __getattr__(name):
    if name in _SUBMODULES:
        import importlib

        return importlib.import_module(f"osprofiler.{name}")
    raise AttributeError(f"module 'osprofiler' has no attribute {name!r}")
