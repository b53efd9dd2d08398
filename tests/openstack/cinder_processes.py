# SPDX-License-Identifier: Apache-2.0
"""Cinder: its configuration, the making of its database, its three processes; the driver is Cinder's own fake one.

The API runs under uWSGI; the scheduler and the volume manager are the programs that the package brings, and talk to the
API and to each other over RabbitMQ.
"""

from pathlib import Path

from demo.accounts import Account
from demo.settings import authtoken, clean_environment, profiler, write
from demo.uwsgi import Api
from house.environments import Environment
from house.process import Server, run

ACCOUNT = Account("cinder", "block-storage", "http://cinder.invalid", "/v3")
BACKEND = "fake"
DRIVER = "cinder.tests.fake_driver.FakeLoggingVolumeDriver"
CONFIGURATION = "cinder.conf"


def configure(
    environment: Environment,
    folder: Path,
    *,
    keystone: str = "",
    database: str = "",
    messages: str = "",
    store: str | None = None,
) -> None:
    """Write `cinder.conf`: where Keystone, the database and the message bus are, and the store to record into."""
    write(
        folder / CONFIGURATION,
        {
            "DEFAULT": {
                "use_stderr": True,
                "auth_strategy": "keystone",
                "api_paste_config": environment.folder / "etc" / "cinder" / "api-paste.ini",
                "resource_query_filters_file": environment.folder / "etc" / "cinder" / "resource_filters.json",
                "backend_stats_polling_interval": 3,
                "enabled_backends": BACKEND,
                "state_path": folder / "state",
                "transport_url": messages,
            },
            BACKEND: {"volume_driver": DRIVER, "volume_backend_name": BACKEND},
            "coordination": {"backend_url": f"file://{folder / 'coordination'}"},
            "database": {"connection": database},
            "oslo_concurrency": {"lock_path": folder / "locks"},
            **authtoken(ACCOUNT.name, keystone),
            **profiler(store),
        },
    )


def prepare(environment: Environment, folder: Path, database: str, log: Path) -> None:
    """Make the tables."""
    configure(environment, folder, database=database)
    manage = [environment.program("cinder-manage"), "--config-file", folder / CONFIGURATION]
    run([*manage, "db", "sync"], log, clean_environment(), what="making Cinder's tables")


def api(environment: Environment, folder: Path, port: int) -> Api:
    """Return the API, to be started."""
    argument = f"--config-file={folder / CONFIGURATION}"
    return Api(
        "cinder-api",
        environment,
        "cinder.wsgi.api:application",
        port,
        folder,
        clean_environment(),
        arguments=[argument],
    )


def worker(name: str, environment: Environment, folder: Path) -> Server:
    """Return the scheduler or the volume manager, to be started."""
    return Server(
        name, [environment.program(name), "--config-file", folder / CONFIGURATION], folder, clean_environment()
    )
