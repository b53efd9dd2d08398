# SPDX-License-Identifier: Apache-2.0
"""The commands that the pages of stores show, each run as it is written, on a server that has a trace with an error.

In place of the address that a page names stands the server's, and of `ID` the trace's. Commands of other programs than
`osprofiler` are left out; what pages write into configuration, tests/house/documents.rs looks at.
"""

import json
import re
import shlex
import subprocess

import pytest

from house.places import CLONE
from servers.ferretdb import FerretDB
from servers.opensearch import OpenSearch
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis

PAGES = CLONE / "docs" / "stores"
FIXTURE = CLONE / "fixtures" / "server-stop-error.jsonl"


class Files:
    """A folder, in the place of a server."""

    def __init__(self, folder):
        """Take one that is not there yet."""
        self.folder = folder

    def __enter__(self) -> "Files":
        """Make it."""
        self.folder.mkdir()
        return self

    def __exit__(self, *_) -> None:
        """Leave it to whoever looks."""


# By page: the server, what of it stands in a command, and what it stands for.
SERVERS = {
    "elasticsearch": (OpenSearch, "address", r"127\.0\.0\.1:\d+"),
    "file": (Files, "folder", "/var/lib/osprofiler"),
    "messaging": (RabbitMQ, "url", r"rabbit://user:password@host:5672/(vhost)?"),
    "mongodb": (FerretDB, "address", r"127\.0\.0\.1:\d+"),
    "redis": (Redis, "url", r"redis://127\.0\.0\.1:\d+"),
    "sqlite": (Files, "folder", "/var/lib/osprofiler"),
}
# What else the store wants to be written to: a node's first index takes its time.
WRITTEN = {"elasticsearch": "/?socket_timeout=100", "messaging": "?transport_url={}"}


def commands(page: str) -> list[str]:
    """Return the lines of a page's `sh` blocks that run our command."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (PAGES / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("osprofiler ")]


# A page that has commands has a server here.
@pytest.mark.parametrize("page", sorted(page.stem for page in PAGES.glob("*.md") if commands(page.stem)))
def test_commands_do_what_the_page_says(page, command, tmp_path):
    """Each finds the trace."""
    kind, attribute, stands_for = SERVERS[page]
    trace_id = json.loads(FIXTURE.read_text().splitlines()[0])["base_id"]
    with kind(tmp_path / "server") as server:
        lines = [
            re.sub(stands_for, lambda _: str(getattr(server, attribute)), line).replace(" ID ", f" {trace_id} ")
            for line in commands(page)
        ]
        words = shlex.split(lines[0])
        store = words[words.index("--connection-string") + 1]
        store += WRITTEN.get(page, "").format(getattr(server, attribute))
        done = command("trace", "copy", trace_id, "--from", f"file://{FIXTURE}", "--to", store)
        assert done.returncode == 0, done.stderr
        for line in lines:
            words = [command.program, *shlex.split(line)[1:]]
            done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}: {done.stderr}"
            told = done.stdout
            if "-o" in words:
                told = (tmp_path / words[-1]).read_text()
            assert ("<!doctype html>" in told) if "--html" in words else trace_id[:8] in told, line
