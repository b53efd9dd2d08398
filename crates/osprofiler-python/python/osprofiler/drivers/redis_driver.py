# SPDX-License-Identifier: Apache-2.0
"""Redis, by upstream's names. The native half writes and reads it."""

from osprofiler import _lenient
from osprofiler.drivers import store

# The configuration's default is for a driver that writes while the request waits. Ours does not.
_UPSTREAMS_TIMEOUT = _lenient.DEFAULTS["socket_timeout"]


class Redis(store.LateStoreDriver):
    """A Redis server."""

    @classmethod
    def get_name(cls):
        """Return the scheme."""
        return "redis"


class RedisSentinel(Redis):
    """A Redis server that its sentinels know.

    ``conf.profiler.sentinel_service_name`` and, unless it is the default, ``conf.profiler.socket_timeout`` hold where
    the connection string has no ``sentinel`` and no ``socket_timeout``.
    """

    def __init__(self, connection_str, project=None, service=None, host=None, **kwargs):
        options = getattr(kwargs.get("conf"), "profiler", None)
        name = getattr(options, "sentinel_service_name", None)
        if name:
            connection_str = store.with_option(connection_str, "sentinel", name)
        timeout = _lenient.read(kwargs.get("conf"), "socket_timeout")
        if timeout and timeout != _UPSTREAMS_TIMEOUT:
            connection_str = store.with_option(connection_str, "socket_timeout", timeout)
        super().__init__(connection_str, project, service, host, **kwargs)

    @classmethod
    def get_name(cls):
        """Return the scheme."""
        return "redissentinel"
