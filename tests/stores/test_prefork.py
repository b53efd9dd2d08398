# SPDX-License-Identifier: Apache-2.0
"""A real uWSGI that forks its workers after the service was loaded, recording into each server.

The service has stored something before, so the store is connected to when it forks: each worker has to leave that
connection alone and make its own. What any of them recorded is stored once, and no request is harmed.
"""

import json
import threading
import uuid
from contextlib import contextmanager

import pytest
from prunable import SERVERS
from python import serving

from servers.loginsight import LogInsight
from servers.rabbitmq import RabbitMQ

WORKERS, TRACES, STEPS = 2, 12, 20


@contextmanager
def prunable(kind, folder):
    """Run a server, and yield its connection string."""
    with SERVERS[kind](folder) as store:
        store.clear()
        yield store.url


@contextmanager
def bus(folder):
    """Run a message bus, and yield its connection string."""
    with RabbitMQ(folder) as broker:
        yield f"messaging://?transport_url={broker.url}&idle_timeout=0"


@contextmanager
def loginsight(folder):
    """Run the stand-in, and yield its connection string."""
    with LogInsight(folder) as server:
        yield server.url("ingest_tls=true")


STORES = {kind: lambda folder, kind=kind: prunable(kind, folder) for kind in SERVERS}
STORES |= {"messaging": bus, "loginsight": loginsight}


@pytest.mark.parametrize("kind", STORES)
def test_workers_forked_beside_a_connection_record_for_themselves(tmp_path, command, kind):
    """The parent's notifications and the workers', each once."""
    folder = tmp_path / "uwsgi"
    folder.mkdir()
    loaded, ids = str(uuid.uuid4()), [str(uuid.uuid4()) for _ in range(TRACES)]
    with STORES[kind](tmp_path / "store") as url:
        environment = {"TRACE_STORE": url, "TRACE_LOADED": loaded}
        options = ("--master", "--processes", str(WORKERS))
        server = serving.uwsgi(folder, environment, *options, module="recorded_app")
        try:
            serving.await_all(server, WORKERS)
            answers = []
            path = f"/work?count={STEPS}"
            threads = [
                threading.Thread(target=lambda each=each: answers.append(server.get(path, each))) for each in ids
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert answers == [(200, "worked")] * TRACES
            counters = {}
            while len(counters) < WORKERS:
                of_worker = server.counters(60)
                counters[of_worker["pid"]] = of_worker
        finally:
            server.stop()
        recorded = sum(of_worker["recorded"] for of_worker in counters.values())
        assert sum(of_worker["stored"] for of_worker in counters.values()) == recorded
        # A point of the middleware, one of the service, and its steps, each with a start and a stop.
        expected = {base_id: 2 * (2 + STEPS) for base_id in ids} | {loaded: 2}
        for base_id, count in expected.items():
            done = command("trace", "export", base_id, "--connection-string", url)
            assert done.returncode == 0, done.stderr
            events = [json.loads(line) for line in done.stdout.splitlines()]
            assert len(events) == count, server.output
            assert len({(event["trace_id"], event["name"]) for event in events}) == count
    assert "cannot store" not in server.output
