# SPDX-License-Identifier: Apache-2.0
"""`trace copy` from one store into another, killed in the midst: running it again brings over what is missing, once.

Where it is killed is no matter of time: it is held at a certain byte or request, with a part of the source in the
target, and goes on no more.
"""

import json
import subprocess
import threading
import uuid
from contextlib import contextmanager

import pytest
from cutting import Cutting
from sql_databases import Database

from house.waiting import wait_until
from servers.mariadb_stores import MariaDBStores
from servers.opensearch import OpenSearch
from servers.opensearch_stores import Front
from servers.postgresql import PostgreSQL
from servers.redis import Redis
from servers.stores import PATIENT, with_options

SECONDS = 120
# Some batches' worth: a batch is 10,000 notifications or 4 MiB.
TRACES, POINTS, TEXT_BYTES = 13, 500, 1000
HELD_AT_BYTES = 9 << 20


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """Return a file with traces of two services, their names and texts in several scripts."""
    file = tmp_path_factory.mktemp("material") / "traces.jsonl"
    with file.open("w") as lines:
        for trace in range(TRACES):
            base_id = str(uuid.uuid4())
            for point in range(POINTS):
                ids = {"base_id": base_id, "parent_id": base_id, "trace_id": str(uuid.uuid4())}
                for second, end in enumerate(("start", "stop")):
                    notification = {
                        "name": f"db-{end}",
                        **ids,
                        "project": "shop",
                        "service": f"service-{trace % 2}",
                        "timestamp": f"2026-01-01T00:{point // 60:02d}:{point % 60:02d}.{second:06d}",
                        # What is the same text is in a batch once.
                        "info": {"db": {"statement": f"select 'ключ {base_id} {point} {end}' " + "x" * TEXT_BYTES}},
                    }
                    lines.write(json.dumps(notification) + "\n")
    return f"file://{file}"


@contextmanager
def redis_to_opensearch(folder):
    """Give both, the source's front door and the target's, what waits until it holds, and what ends that.

    It is held at the second request to write, which the node has carried out, and not answered.
    """
    holds, over = threading.Event(), threading.Event()
    written = []

    def answer(_, path, __, ask):
        if "_bulk" not in path:
            return None
        written.append(path)
        status, _, data = ask()
        if len(written) == 2:
            holds.set()
            over.wait()
        return status, data.decode()

    with Redis(folder / "redis") as redis, OpenSearch(folder / "opensearch") as node, Front(node.port) as front:
        front.answer = answer
        try:
            source = with_options(redis.url, PATIENT)
            yield source, source, f"opensearch://127.0.0.1:{front.port}/?{PATIENT}", holds, over
        finally:
            over.set()


@contextmanager
def database_to_file(server, folder):
    """Give both; it is held at a byte of what the database says."""
    with server(folder / "server") as running, Cutting(running.port) as holding:
        holding.hold_after(HELD_AT_BYTES)
        url = Database(running).url(PATIENT)
        held = url.replace(f":{running.port}/", f":{holding.port}/")
        yield url, held, f"file://{folder}/copied.jsonl", holding.holds, holding.over


WAYS = {
    "redis to opensearch": redis_to_opensearch,
    "postgresql to file": lambda folder: database_to_file(PostgreSQL, folder),
    "mysql to file": lambda folder: database_to_file(MariaDBStores, folder),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_copy_that_was_killed_is_gone_on_with(way, material, command, tmp_path):
    """Some is there after the kill and not all; the next run copies the rest, the one after it nothing."""

    def copied(source, target):
        done = command("trace", "copy", "--all", "--json", "--from", source, "--to", target)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["copied"]

    def exported(store):
        done = command("trace", "export", "--all", "--connection-string", store)
        return sorted(json.dumps(json.loads(line), sort_keys=True) for line in done.stdout.splitlines())

    with WAYS[way](tmp_path) as (source, held_source, target, holds, over):
        total = 2 * TRACES * POINTS
        assert copied(material, source) == total
        words = ["trace", "copy", "--all", "--from", held_source, "--to", target]
        killed = subprocess.Popen([command.program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            wait_until(lambda: holds.is_set() or killed.poll() is not None, "the copy to be held", SECONDS)
            assert killed.poll() is None, killed.communicate()
            # It may be about to write what it has read; it gets nothing more.
            wait_until(lambda: exported(target), "a part of it in the target", SECONDS)
        finally:
            killed.kill()
            killed.communicate()
            over.set()
        there = len(exported(target))
        assert 0 < there < total
        assert copied(source, target) == total - there
        assert exported(target) == exported(source) == exported(material)
        assert copied(source, target) == 0
