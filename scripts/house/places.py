# SPDX-License-Identifier: Apache-2.0
"""Where things lie: the clone, the cache that all clones share, the folder that the demo fills.

Nothing outside these folders is written. Whatever takes minutes to make lies in the cache under a name that carries
its version, so that a fresh clone finds it and a changed version never finds a stale one.
"""

import hashlib
import os
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
REQUIREMENTS = CLONE / "scripts" / "requirements"
DIST = CLONE / "dist"
DEMO = CLONE / ".demo"
TARGET = CLONE / "target"


def cache() -> Path:
    """Return the cache folder: `$XDG_CACHE_HOME/osprofiler-build`, by default below `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "osprofiler-build"


def version_key(*parts: str) -> str:
    """Return a short name that is the same only for the same parts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
