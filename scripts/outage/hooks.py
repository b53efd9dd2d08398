# SPDX-License-Identifier: Apache-2.0
"""How a server is brought to have no room, to know another password, or to lose its data; and how that is undone.

In: a server as it runs. Out: `HOOKS`, what can be done to it by the driver's name; and `WHY_NOT`, the one list of what
cannot be done to a store, with the reason. Whatever the way to a server can have, is done on the way (`outage.proxy`).
Where the server that the tests have cannot refuse so, what stands before it does, in the words of one that can:
`FRONTS`.
"""

import base64
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from outage.mongodb_front import MongoDBFront
from servers import mariadb_stores, opensearch_stores, postgresql, rabbitmq
from servers.redis_questions import ask

# A number of a store that each server has, and nobody else uses.
NUMBER = 7
SCHEMA = f"way0_{NUMBER}"


@dataclass(frozen=True)
class There:
    """What something is done to."""

    # What runs, of `servers.stores.STORES`.
    server: object
    # The server's own port.
    port: int
    # What stands before the server, if something does.
    front: object


@dataclass(frozen=True)
class Front:
    """What stands before a server, and who comes in."""

    stands: Callable[[int], AbstractContextManager]
    # What a connection string has before the address, and at its end.
    login: str = ""
    options: str = ""


def _http(port: int) -> opensearch_stores.Front:
    return opensearch_stores.Front(port, with_users=True)


_LOGIN = f"{opensearch_stores.USER}:{opensearch_stores.PASSWORD}".encode()
_ENCODED_LOGIN = f"{opensearch_stores.USER}:{opensearch_stores.ENCODED_PASSWORD}"
_HEADER = "Basic%20" + base64.b64encode(_LOGIN).decode().replace("=", "%3D")
FRONTS = {
    "mongodb": Front(MongoDBFront, "tracer:secret@", "&authSource=$external&authMechanism=PLAIN"),
    "elasticsearch": Front(_http, f"{_ENCODED_LOGIN}@"),
    "otlp": Front(_http, options=f"&headers=authorization={_HEADER}"),
}


def _redis_full(there):
    ask(there.port, "CONFIG", "SET", "maxmemory", "1")


def _redis_not_full(there):
    ask(there.port, "CONFIG", "SET", "maxmemory", "0")


def _redis_other_password(there):
    ask(there.port, "ACL", "SETUSER", "default", "resetpass", ">other")


def _redis_same_password(there):
    ask(there.port, "ACL", "SETUSER", "default", "nopass", login=("other",))


def _redis_lose(there):
    ask(there.port, "FLUSHALL")


def _postgresql_full(there):
    there.server.ask(
        f"CREATE FUNCTION {SCHEMA}.full() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'no space left on device'; END$$;"
        f"CREATE TRIGGER full_disk BEFORE INSERT ON {SCHEMA}.data FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.full()",
        postgresql.DATABASE,
    )


def _postgresql_not_full(there):
    there.server.ask(f"DROP FUNCTION {SCHEMA}.full() CASCADE", postgresql.DATABASE)


def _postgresql_other_password(there):
    there.server.ask(f"ALTER ROLE {postgresql.USER} PASSWORD 'other'")


def _postgresql_same_password(there):
    there.server.ask(f"ALTER ROLE {postgresql.USER} PASSWORD '{postgresql.PASSWORD}'")


def _postgresql_lose(there):
    schema = f"DROP SCHEMA {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA} AUTHORIZATION {postgresql.USER}"
    there.server.ask(schema, postgresql.DATABASE)


def _mysql_full(there):
    signal = "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'the table is full'"
    there.server.ask(f"CREATE TRIGGER full_disk BEFORE INSERT ON data FOR EACH ROW {signal}", SCHEMA)


def _mysql_not_full(there):
    there.server.ask("DROP TRIGGER full_disk", SCHEMA)


def _mysql_password(there, password):
    there.server.ask(f"ALTER USER {mariadb_stores.USER}@'127.0.0.1' IDENTIFIED BY '{password}'")


def _mysql_lose(there):
    there.server.ask(f"DROP DATABASE {SCHEMA}; CREATE DATABASE {SCHEMA}")


def _mongodb_full(there):
    there.front.refuse("insert", 14031, "OutOfDiskSpace", "available disk space of 0 bytes is less than required")


def _mongodb_other_password(there):
    there.front.refuse("saslStart", 18, "AuthenticationFailed", "Authentication failed.")


def _mongodb_accept(there):
    there.front.accept()


def _mongodb_lose(there):
    there.server.plain.restart_empty()


def _messaging_full(there):
    there.server.control("set_disk_free_limit", "1000000GB")


def _messaging_not_full(there):
    there.server.control("set_disk_free_limit", rabbitmq.DISK_FREE_LIMIT)


def _messaging_password(there, password):
    there.server.control("change_password", rabbitmq.USER, password)


def _messaging_lose(there):
    # As a restart does to a queue that is not durable.
    there.server.control("delete_queue", f"plain{NUMBER}.info")


def _elasticsearch_full(there, is_full=True):
    # As the node does beyond its flood-stage watermark.
    there.server.node.ask("PUT", f"/plain-{NUMBER}/_settings", {"index.blocks.read_only_allow_delete": is_full or None})


def _elasticsearch_lose(there):
    there.server.node.ask("DELETE", f"/plain-{NUMBER}")


def _front_other_password(there):
    there.front.known = set()


def _front_same_password(there):
    there.front.know()


def _otlp_lose(there):
    there.server.plain.stop()
    there.server.plain.start()


def _loginsight_full(there):
    refusal = 507, {"errorMessage": "Insufficient storage"}
    there.server.say = lambda method, path, body: refusal if "/ingest/" in path else None


def _loginsight_not_full(there):
    there.server.say = lambda method, path, body: None


def _loginsight_lose(there):
    there.server.forget_events()


HOOKS = {
    "redis": {
        "full": _redis_full,
        "not full": _redis_not_full,
        "other password": _redis_other_password,
        "same password": _redis_same_password,
        "lose": _redis_lose,
    },
    "postgresql": {
        "full": _postgresql_full,
        "not full": _postgresql_not_full,
        "other password": _postgresql_other_password,
        "same password": _postgresql_same_password,
        "lose": _postgresql_lose,
    },
    "mysql": {
        "full": _mysql_full,
        "not full": _mysql_not_full,
        "other password": lambda there: _mysql_password(there, "other"),
        "same password": lambda there: _mysql_password(there, mariadb_stores.PASSWORD),
        "lose": _mysql_lose,
    },
    "mongodb": {
        "full": _mongodb_full,
        "not full": _mongodb_accept,
        "other password": _mongodb_other_password,
        "same password": _mongodb_accept,
        "lose": _mongodb_lose,
    },
    "messaging": {
        "full": _messaging_full,
        "not full": _messaging_not_full,
        "other password": lambda there: _messaging_password(there, "other"),
        "same password": lambda there: _messaging_password(there, rabbitmq.PASSWORD),
        "lose": _messaging_lose,
    },
    "elasticsearch": {
        "full": _elasticsearch_full,
        "not full": lambda there: _elasticsearch_full(there, False),
        "other password": _front_other_password,
        "same password": _front_same_password,
        "lose": _elasticsearch_lose,
    },
    "otlp": {
        "other password": _front_other_password,
        "same password": _front_same_password,
        "lose": _otlp_lose,
    },
    "loginsight": {
        "full": _loginsight_full,
        "not full": _loginsight_not_full,
        "lose": _loginsight_lose,
    },
}

_FILE = {
    "slow": "nothing stands between a service and its file that could be slow",
    "nonsense": "nobody answers but the file that the service itself writes",
    "other password": "a file asks for none",
}
# By the store's name and what cannot be done to it.
WHY_NOT = {
    "sqlite": _FILE,
    "file": _FILE,
    "otlp": {"full": "a collector hands on what it takes: it has no disk that fills"},
    "loginsight": {"other password": "it asks nobody who sends events for one"},
}
