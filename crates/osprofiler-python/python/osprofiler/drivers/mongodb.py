# SPDX-License-Identifier: Apache-2.0
"""MongoDB, by upstream's name. The native half writes and reads it."""

from urllib import parse

from osprofiler.drivers import store


class MongoDB(store.LateStoreDriver):
    """A MongoDB server or replica set."""

    def __init__(self, connection_str, db_name="osprofiler", project=None, service=None, host=None, **kwargs):
        if db_name != "osprofiler":
            separator = "&" if "?" in connection_str else "?"
            connection_str += f"{separator}database={parse.quote(db_name, safe='')}"
        super().__init__(connection_str, project, service, host, **kwargs)
        self.db_name = db_name

    @classmethod
    def get_name(cls):
        """Return the scheme."""
        return "mongodb"
