# SPDX-License-Identifier: Apache-2.0
"""Glance: its configuration, the making of its database, its API."""

from pathlib import Path

from demo.accounts import Account
from demo.settings import authtoken, clean_environment, profiler, write
from demo.uwsgi import Api
from house.environments import Environment
from house.process import run

ACCOUNT = Account("glance", "image", "http://glance.invalid")


def configure(
    environment: Environment, folder: Path, port: int, keystone: str, connection_string: str | None
) -> dict[str, str]:
    """Write `glance-api.conf` for the data in the folder; return the variables that Glance's programs need."""
    images = folder / "images"
    images.mkdir(exist_ok=True)
    write(
        folder / "glance-api.conf",
        {
            "DEFAULT": {
                "use_stderr": True,
                "enabled_backends": "fs:file",
                "worker_self_reference_url": f"http://127.0.0.1:{port}",
            },
            "database": {"connection": f"sqlite:///{folder / 'glance.db'}"},
            "fs": {"filesystem_store_datadir": images},
            "glance_store": {"default_backend": "fs"},
            "oslo_concurrency": {"lock_path": folder / "locks"},
            "paste_deploy": {
                "flavor": "keystone",
                "config_file": environment.folder / "etc" / "glance" / "glance-api-paste.ini",
            },
            **authtoken(ACCOUNT.name, keystone),
            **profiler(connection_string),
        },
    )
    return clean_environment(OS_GLANCE_CONFIG_DIR=str(folder), OS_GLANCE_CONFIG_FILES="glance-api.conf")


def prepare(environment: Environment, folder: Path, log: Path) -> None:
    """Make the database."""
    env = configure(environment, folder, 0, ACCOUNT.placeholder, None)
    run(
        [environment.program("glance-manage"), "--config-file", folder / "glance-api.conf", "db_sync"],
        log,
        env,
        what="making Glance's database",
    )


def api(environment: Environment, folder: Path, port: int, keystone: str, connection_string: str | None) -> Api:
    """Return Glance's API, to be started."""
    env = configure(environment, folder, port, keystone, connection_string)
    return Api("glance", environment, "glance.wsgi.api:application", port, folder, env)
