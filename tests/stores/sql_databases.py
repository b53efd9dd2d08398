# SPDX-License-Identifier: Apache-2.0
"""An empty database for a test, on a PostgreSQL or a MariaDB server, and how each party reaches it."""

import json
from itertools import count

from servers import mariadb, mariadb_stores, postgresql

NUMBERS = count(1)


class Database:
    """A database of its own on a server, the user's with the password."""

    def __init__(self, server, extra: str = ""):
        """Make it; `extra` says how it keeps texts."""
        self.server = server
        self.name = f"way9_{next(NUMBERS)}"
        self.is_postgresql = isinstance(server, postgresql.PostgreSQL)
        if self.is_postgresql:
            encoding = extra or "ENCODING 'UTF8'"
            server.ask(f'CREATE DATABASE "{self.name}" OWNER {postgresql.USER} TEMPLATE template0 {encoding}')
        else:
            server.ask(f"CREATE DATABASE `{self.name}` {extra}")

    def url(self, options: str = "", host: str = "127.0.0.1") -> str:
        """Return the connection string, one that upstream understands as well."""
        scheme = "postgresql+psycopg2" if self.is_postgresql else "mysql+pymysql"
        module = postgresql if self.is_postgresql else mariadb_stores
        login = f"{module.USER}:{module.ENCODED_PASSWORD}"
        return f"{scheme}://{login}@{host}:{self.server.port}/{self.name}{options and '?' + options}"

    def ask(self, statements: str) -> str:
        """Run statements as the server's owner and return what they print, a row a line."""
        return self.server.ask(statements, self.name)

    def rows(self) -> list[str]:
        """Return the rows of `data` but for their numbers, in the order in which they were written."""
        names = ("timestamp", "base_id", "parent_id", "trace_id", "project", "host", "service", "name")
        columns = ", ".join(f"coalesce({name}, '<null>')" for name in names)
        data = "data::text" if self.is_postgresql else "HEX(data)"
        return self.ask(f"SELECT {columns}, {data} FROM data ORDER BY id").splitlines()


def told(command, url: str, *arguments: str) -> str:
    """Return what the command says of a store that it cannot list."""
    done = command("trace", "list", "--connection-string", url, *arguments)
    assert done.returncode == 1, (done.stdout, done.stderr)
    for secret in (postgresql.PASSWORD, mariadb.PASSWORD, mariadb_stores.PASSWORD):
        assert secret not in done.stdout + done.stderr
    return done.stderr


def show(command, url: str, base_id: str) -> dict:
    """Return the report that the command makes of a trace."""
    done = command("trace", "show", "--json", base_id, "--connection-string", url)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
