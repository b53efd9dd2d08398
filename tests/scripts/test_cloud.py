# SPDX-License-Identifier: Apache-2.0
"""A cloud's folder: its own copy of the data, its own addresses, nothing left of the run before."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from demo import glance, keystone
from demo.cloud import Cloud
from house.environments import Environment
from house.process import Server
from house.waiting import wait_until

STORE = "sqlite:///nowhere/traces.db"


@pytest.fixture
def template(tmp_path) -> Path:
    """Make what is needed of a prepared cloud: a catalogue that names the placeholders."""
    folder = tmp_path / "template"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "keystone.db")) as database, database:
        database.execute("CREATE TABLE endpoint (url TEXT)")
        rows = [(f"{keystone.PLACEHOLDER}/v3",), (glance.ACCOUNT.placeholder,)]
        database.executemany("INSERT INTO endpoint VALUES (?)", rows)
    return folder


def urls(folder: Path) -> list[str]:
    """Return the addresses in a catalogue."""
    with closing(sqlite3.connect(folder / "keystone.db")) as database:
        return [url for (url,) in database.execute("SELECT url FROM endpoint")]


def test_the_catalogue_names_the_runs_own_ports(template, tmp_path):
    """The template keeps its placeholders for the next run."""
    made = Cloud(Environment(tmp_path), template, tmp_path / "run", STORE)
    assert urls(made.folder) == [made.keystone_url, f"http://127.0.0.1:{made.glance.port}"]
    assert urls(template) == [f"{keystone.PLACEHOLDER}/v3", glance.ACCOUNT.placeholder]


def test_both_services_record_into_the_store(template, tmp_path):
    """With SQL, signed with the seed's key; Keystone without its cache."""
    made = Cloud(Environment(tmp_path), template, tmp_path / "run", STORE)
    section = [
        "[profiler]",
        "enabled = True",
        "trace_sqlalchemy = True",
        "hmac_keys = 123",
        f"connection_string = {STORE}",
    ]
    for name in ("keystone.conf", "glance-api.conf"):
        assert "\n".join(section) in (made.folder / name).read_text()
    assert "[cache]\nenabled = False" in (made.folder / "keystone.conf").read_text()


def test_what_a_killed_run_left_is_ended(template, tmp_path):
    """Its folder is laid anew, its servers are ended by their recorded process ids first."""
    folder = tmp_path / "run"
    left = Server("glance", [sys.executable, "-c", "import signal; signal.pause()"], folder)
    left.begin()
    Cloud(Environment(tmp_path), template, folder, STORE)
    wait_until(lambda: left.child.poll() is not None, "the server to end", 60)
