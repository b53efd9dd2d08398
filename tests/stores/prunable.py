# SPDX-License-Identifier: Apache-2.0
"""Servers that traces are removed from, each seen by a client of its own: what is left of a trace, what is another's.

In: a folder. Out: for each kind of server a store that is empty but for what another application keeps there.
"""

from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.error import HTTPError

import pymongo
import redis
from sql_databases import Database

from servers.ferretdb import FerretDB
from servers.mariadb_stores import MariaDBStores
from servers.opensearch import OpenSearch
from servers.postgresql import PostgreSQL
from servers.redis import Redis
from servers.stores import PATIENT, with_options

OTHER = "another application's"


class Server:
    """A server for as long as the `with` block lasts."""

    def __init__(self, server):
        """Take one that does not run yet."""
        self.server = server
        self.running = ExitStack()

    def __enter__(self) -> "Server":
        """Start it."""
        with ExitStack() as starting:
            starting.enter_context(self.server)
            self.running = starting.pop_all()
        return self

    def __exit__(self, *_) -> None:
        """End it."""
        self.running.close()


class OfRedis(Server):
    """Keys of a database; another application's begin like ours."""

    KEYS = ("osprofiler", "osprofiler:not ours", "osprofiler_option", "osprofiler_opt", OTHER)

    def __init__(self, folder: Path):
        """Choose a port."""
        super().__init__(Redis(folder))

    def clear(self) -> None:
        """Empty it."""
        self.url = with_options(self.server.url, PATIENT)
        self.client = redis.Redis.from_url(self.server.url, decode_responses=True)
        self.client.flushall()
        for key in self.KEYS:
            self.client.set(key, OTHER)

    def strangers(self) -> bool:
        """Say whether all is there that is another application's."""
        return self.client.mget(self.KEYS) == [OTHER] * len(self.KEYS)

    def remains(self, base_id: str) -> list[str]:
        """Return what is left of a trace."""
        keys = [key for key in self.client.keys("*") if key.endswith(base_id)]
        indexes = [name for name in ("osprofiler_traces", "osprofiler_errors") if self.client.zscore(name, base_id)]
        return keys + indexes


class OfMongodb(Server):
    """Documents of a database; another collection has the same ids."""

    def __init__(self, folder: Path):
        """Choose a port."""
        super().__init__(FerretDB(folder))

    def clear(self) -> None:
        """Empty it."""
        self.url = with_options(self.server.url, PATIENT)
        self.database = pymongo.MongoClient(self.server.url)["osprofiler"]
        self.database.client.drop_database("osprofiler")
        self.database["other"].insert_one({"base_id": OTHER})

    def strangers(self) -> bool:
        """Say whether all is there that is another application's."""
        return self.database["other"].count_documents({}) == 1

    def remains(self, base_id: str) -> list[str]:
        """Return what is left of a trace."""
        names = ("profiler", "profiler_error", "profiler_lost")
        return [name for name in names if self.database[name].find_one({"base_id": base_id})]


class OfSql(Server):
    """Rows of a database's tables; another table has the same ids."""

    def clear(self) -> None:
        """Make an empty one."""
        self.database = Database(self.server)
        self.url = self.database.url(PATIENT)
        self.database.ask(f"CREATE TABLE other (base_id VARCHAR(255)); INSERT INTO other VALUES ('{quoted(OTHER)}')")

    def strangers(self) -> bool:
        """Say whether all is there that is another application's."""
        return self.database.ask("SELECT base_id FROM other") == OTHER

    def remains(self, base_id: str) -> list[str]:
        """Return what is left of a trace."""
        names = ("data", "data_error", "data_lost")
        count = "SELECT COUNT(*) FROM {} WHERE base_id = '{}'"
        return [name for name in names if self.database.ask(count.format(name, quoted(base_id))) != "0"]


class OfMysql(OfSql):
    """On MariaDB."""

    def __init__(self, folder: Path):
        """Choose a port."""
        super().__init__(MariaDBStores(folder))


class OfPostgresql(OfSql):
    """On PostgreSQL."""

    def __init__(self, folder: Path):
        """Choose a port."""
        super().__init__(PostgreSQL(folder))


class OfElasticsearch(Server):
    """Documents of indexes; another application's index has the same ids."""

    INDEXES = ("osprofiler-notifications", "osprofiler-notifications-error", "osprofiler-notifications-lost")

    def __init__(self, folder: Path):
        """Choose a port."""
        super().__init__(OpenSearch(folder))

    def clear(self) -> None:
        """Empty it."""
        self.url = with_options(self.server.url, PATIENT)
        for index in (f"{self.INDEXES[0]}*", "other"):
            with suppress(HTTPError):  # there is none
                self.server.ask("DELETE", f"/{index}")
        self.server.ask("PUT", "/other/_doc/1?refresh=true", {"base_id": OTHER})

    def strangers(self) -> bool:
        """Say whether all is there that is another application's."""
        return self._count("other", OTHER) == 1

    def remains(self, base_id: str) -> list[str]:
        """Return what is left of a trace."""
        self.server.ask("POST", f"/{self.INDEXES[0]}*/_refresh")
        return [index for index in self.INDEXES if self._count(index, base_id)]

    def _count(self, index: str, base_id: str) -> int:
        # Ids are keywords in our indexes, and words with a copy as they are in an index without a template.
        field = "base_id.keyword" if index == "other" else "base_id"
        query = {"query": {"term": {field: base_id}}}
        return self.server.ask("POST", f"/{index}/_count?ignore_unavailable=true", query)["count"]


def quoted(text: str) -> str:
    """Return a text as it stands between a statement's quotes."""
    return text.replace("'", "''")


SERVERS = {
    "redis": OfRedis,
    "mongodb": OfMongodb,
    "mysql": OfMysql,
    "postgresql": OfPostgresql,
    "elasticsearch": OfElasticsearch,
}
