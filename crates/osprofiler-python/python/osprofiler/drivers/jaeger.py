# SPDX-License-Identifier: Apache-2.0
"""Jaeger, by upstream's name: gone, as upstream's is."""

from osprofiler import _native, exc
from osprofiler.drivers import store


class Jaeger(store.StoreDriver):
    """Refuses to be made, and says what to use instead."""

    def _check(self):
        try:
            _native.check_connection(self.connection_str)
        except ValueError as error:
            raise exc.CommandError(str(error)) from None

    @classmethod
    def get_name(cls):
        """Return the scheme."""
        return "jaeger"
