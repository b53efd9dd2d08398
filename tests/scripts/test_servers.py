# SPDX-License-Identifier: Apache-2.0
"""Real servers for tests: two of a kind run side by side, answer, and leave nothing running."""

from pathlib import Path

import pytest

from house import debian
from house.waiting import answers, wait_until
from servers.ferretdb import FerretDB
from servers.mariadb import MariaDB
from servers.opensearch import OpenSearch
from servers.postgresql import PostgreSQL
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis
from servers.redis_stores import RedisStores

SECONDS = 60


def left_running(folder: Path) -> list[str]:
    """Return the command lines of the processes that name the folder, in their arguments or their variables."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it has ended, or is somebody else's
        if str(folder).encode() in told:
            found.append(told.split(b"\0")[0].decode())
    return found


@pytest.mark.parametrize("kind", [FerretDB, MariaDB, OpenSearch, PostgreSQL, RabbitMQ, Redis])
def test_two_run_side_by_side_and_nothing_is_left(kind, tmp_path):
    """Each on ports of its own; what a server starts beside itself ends with it."""
    with kind(tmp_path / "one") as one, kind(tmp_path / "two") as two:
        assert one.port != two.port
        assert answers(one.port)
        assert answers(two.port)
    wait_until(lambda: left_running(tmp_path) == [], "everything to end", SECONDS)
    assert not list(tmp_path.glob("*/*.pid"))


def test_what_a_store_consists_of_ends_together(tmp_path):
    """A server with its replica and sentinels, and one with a socket elsewhere."""
    with RedisStores(tmp_path / "redis") as redis:
        assert len(redis.stores) == 5
        place = Path(redis.stores[3].partition("unix://")[2]).parent
        assert place.exists()
    wait_until(lambda: left_running(tmp_path) == [], "everything to end", SECONDS)
    assert not place.exists()


def test_mariadb_keeps_what_its_folder_has(tmp_path):
    """A prepared database is started again on another port."""
    with MariaDB(tmp_path, "prepared"):
        pass
    with MariaDB(tmp_path, "prepared") as again:
        assert again.url.endswith("/prepared")
    assert (tmp_path / "data" / "prepared").is_dir()


def test_no_daemon_starts_while_packages_are_installed(tmp_path, monkeypatch):
    """What forbids it is there for that long only."""
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(debian, "POLICY", policy)
    with debian._no_daemon([], tmp_path / "log"):
        assert policy.read_text() == "#!/bin/sh\nexit 101\n"
        assert policy.stat().st_mode & 0o111
    assert not policy.exists()


def test_an_administrators_own_policy_stays(tmp_path, monkeypatch):
    """Whatever it says."""
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    monkeypatch.setattr(debian, "POLICY", policy)
    with debian._no_daemon([], tmp_path / "log"):
        pass
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"
