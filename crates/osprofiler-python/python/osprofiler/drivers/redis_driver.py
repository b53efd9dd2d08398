# SPDX-License-Identifier: Apache-2.0
"""Redis, by upstream's names. The native half writes and reads it."""

from osprofiler.drivers import store


class Redis(store.LateStoreDriver):
    """A Redis server."""

    @classmethod
    def get_name(cls):
        """Return the scheme."""
        return "redis"


class RedisSentinel(Redis):
    """A Redis server that its sentinels know."""

    @classmethod
    def get_name(cls):
        """Return the scheme."""
        return "redissentinel"
