# SPDX-License-Identifier: Apache-2.0
"""SQL databases, by upstream's name. The native half writes and reads them."""

from osprofiler.drivers import store


class SQLAlchemyDriver(store.LateStoreDriver):
    """A MySQL, MariaDB or PostgreSQL server, named by a URL of SQLAlchemy's form."""

    @classmethod
    def get_name(cls):
        """Return what upstream calls it; several schemes mean it."""
        return "sqlalchemy"
