# SPDX-License-Identifier: Apache-2.0
"""Keystone: its configuration, the making of its database, its API.

Its cache is off: with it, a request's SQL statements depend on which requests came before. It has one thread, for even
so it keeps some answers of a request until the same thread serves the next one.
"""

import os
from pathlib import Path

from demo.settings import PASSWORD, REGION, clean_environment, profiler, write
from demo.uwsgi import Api
from house.environments import Environment
from house.process import run

PLACEHOLDER = "http://keystone.invalid"


def configure(folder: Path, connection_string: str | None) -> dict[str, str]:
    """Write `keystone.conf` for the data in the folder; return the variables that Keystone's programs need."""
    write(
        folder / "keystone.conf",
        {
            "DEFAULT": {"use_stderr": True},
            "cache": {"enabled": False},
            "credential": {"key_repository": folder / "credential-keys"},
            "database": {"connection": f"sqlite:///{folder / 'keystone.db'}"},
            "fernet_tokens": {"key_repository": folder / "fernet-keys"},
            "token": {"provider": "fernet"},
            **profiler(connection_string),
        },
    )
    return clean_environment(OS_KEYSTONE_CONFIG_DIR=str(folder))


def prepare(environment: Environment, folder: Path, log: Path) -> None:
    """Make the database, the keys and the administrator; the catalogue names a placeholder for Keystone's address."""
    env = configure(folder, None)
    manage = [environment.program("keystone-manage"), "--config-file", folder / "keystone.conf"]
    owner = ["--keystone-user", "root", "--keystone-group", "root"] if os.geteuid() == 0 else []
    run([*manage, "db_sync"], log, env, what="making Keystone's database")
    run([*manage, "fernet_setup", *owner], log, env, what="making Keystone's token keys")
    run([*manage, "credential_setup", *owner], log, env, what="making Keystone's credential keys")
    urls = [f"--bootstrap-{interface}-url={PLACEHOLDER}/v3" for interface in ("public", "internal", "admin")]
    run(
        [*manage, "bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION, *urls],
        log,
        env,
        what="making Keystone's administrator",
    )


def api(environment: Environment, folder: Path, port: int, connection_string: str | None) -> Api:
    """Return Keystone's API, to be started."""
    env = configure(folder, connection_string)
    return Api("keystone", environment, "keystone.wsgi.api:application", port, folder, env, threads=1)
