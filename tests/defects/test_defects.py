# SPDX-License-Identifier: Apache-2.0
"""Each defect is seen under upstream's package, and not under ours: by the same script, with the same servers.

`defects.toml` has a line a defect, or a line for each store that has it. A script ends with status 0 where it sees what
is wanted, else prints the symptom.
"""

import contextlib
import os
import subprocess
from pathlib import Path

import pytest
import tomllib

from servers.ferretdb import FerretDB
from servers.mariadb import MariaDB
from servers.postgresql import PostgreSQL
from servers.redis import Redis

FOLDER = Path(__file__).parent
DEFECTS = tomllib.loads((FOLDER / "defects.toml").read_text())
SECONDS = 120


class Servers:
    """Real servers, each started when somebody first asks for it."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack):
        self.folder = folder
        self.stack = stack
        self.databases = {}

    def database(self, kind):
        """Return a server's URL."""
        if kind not in self.databases:
            self.databases[kind] = self.stack.enter_context(kind(self.folder / kind.__name__)).url
        return self.databases[kind]

    def redis(self) -> Redis:
        """Return a Redis of one's own: scripts end it."""
        return self.stack.enter_context(Redis(self.folder / f"redis-{len(os.listdir(self.folder))}"))


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Return servers that run as long as the tests of this file."""
    with contextlib.ExitStack() as stack:
        yield Servers(tmp_path_factory.mktemp("servers"), stack)


def run(defect: dict, package: str, python: str, folder: Path, servers: Servers) -> subprocess.CompletedProcess:
    """Run a defect's script under an interpreter, with the store that its package is looked at with."""
    (folder / "store").mkdir()
    store = defect.get("store", "")
    known = {"folder": folder}
    if "{redis}" in store:
        redis = servers.redis()
        known |= {"redis": redis.url, "redis_pid": redis.server.child.pid}
    for kind, name in ((FerretDB, "mongodb"), (PostgreSQL, "postgresql")):
        if f"{{{name}}}" in store:
            known[name] = servers.database(kind)
    environment = {
        "DEFECT_STORE": store.format(**known),
        "DEFECT_BREAK": defect.get("break", {}).get(package, "").format(**known),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for kind in (MariaDB, PostgreSQL):
        if kind.__name__.lower() in defect.get("servers", ()):
            environment[f"DEFECT_{kind.__name__.upper()}"] = servers.database(kind)
    return subprocess.run(
        [python, FOLDER / f"{defect['script']}.py"],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("number", DEFECTS)
def test_ours_has_it_no_more(number, tmp_path, servers):
    """Nothing is printed, and what the script wanted was seen."""
    ended = run(DEFECTS[number], "ours", os.environ["OSPROFILER_PYTHON"], tmp_path, servers)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr


@pytest.mark.parametrize("number", DEFECTS)
def test_upstreams_has_it(number, tmp_path, servers):
    """The script can see it: otherwise it would say nothing about ours."""
    defect = DEFECTS[number]
    ended = run(defect, "upstream", os.environ["OSPROFILER_UPSTREAM_PYTHON"], tmp_path, servers)
    assert ended.returncode == 1, ended.stderr
    assert defect["symptom"] in ended.stdout


def test_each_script_has_a_line():
    """And each line a script."""
    scripts = {path.stem for path in FOLDER.glob("*.py")} - {"seen", Path(__file__).stem}
    assert {defect["script"] for defect in DEFECTS.values()} == scripts
