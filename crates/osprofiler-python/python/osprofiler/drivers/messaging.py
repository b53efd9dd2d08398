# SPDX-License-Identifier: Apache-2.0
"""The services' message bus, by upstream's name. The native half writes and reads it."""

from osprofiler.drivers import store


class Messaging(store.StoreDriver):
    """The message bus of the services (oslo.messaging)."""

    @classmethod
    def get_name(cls):
        """Return the scheme."""
        return "messaging"
