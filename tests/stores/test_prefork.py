# SPDX-License-Identifier: Apache-2.0
"""A real uWSGI that forks its workers after the service was loaded, recording into each server.

The service has stored something before, so the store is connected to when it forks: each worker has to leave that
connection alone and make its own. What any of them recorded is stored once, and no request is harmed.
"""

import json
import threading
import uuid
from collections import Counter
from contextlib import contextmanager
from functools import partial

import pytest
from prunable import SERVERS
from python import serving

from servers.jaeger import Jaeger
from servers.loginsight import LogInsight
from servers.opensearch import OpenSearch
from servers.rabbitmq import RabbitMQ
from servers.stores import PATIENT, with_options

WORKERS, TRACES, STEPS = 2, 12, 20


def exported(command, url):
    """Return what reads the points of a trace's notifications back, each as often as it is there."""

    def read(base_id, _):
        done = command("trace", "export", base_id, "--connection-string", url)
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return Counter((event["trace_id"], event["name"].rpartition("-")[2]) for event in events)

    return read


@contextmanager
def prunable(kind, folder, command):
    """Run a server, and yield its connection string, and what reads it."""
    with SERVERS[kind](folder) as store:
        store.clear()
        yield store.url, exported(command, store.url)


@contextmanager
def bus(folder, command):
    """Run a message bus."""
    with RabbitMQ(folder) as broker:
        url = f"messaging://?transport_url={broker.url}&idle_timeout=0&{PATIENT}"
        yield url, exported(command, url)


@contextmanager
def loginsight(folder, command):
    """Run the stand-in."""
    with LogInsight(folder) as server:
        url = server.url(f"ingest_tls=true&{PATIENT}")
        yield url, exported(command, url)


@contextmanager
def elasticsearch(folder, command):
    """Run a node."""
    with OpenSearch(folder) as node:
        url = with_options(node.url, PATIENT)
        yield url, exported(command, url)


@contextmanager
def otlp(way, folder, command):
    """Run a collector, which is asked what it has: a span for a start and its stop."""
    with Jaeger(folder) as server:

        def read(base_id, count):
            spans = server.trace(base_id, count // 2)
            ends = ("stop",), ("start", "stop")
            return Counter((span.id, end) for span in spans for end in ends["osprofiler.incomplete" not in span.tags])

        yield with_options(server.url(way), PATIENT), read


STORES = {kind: partial(prunable, kind) for kind in SERVERS}
STORES |= {"messaging": bus, "loginsight": loginsight, "elasticsearch": elasticsearch}
STORES |= {f"otlp, {way}": partial(otlp, way) for way in ("http", "grpc")}


@pytest.mark.parametrize("kind", STORES)
def test_workers_forked_beside_a_connection_record_for_themselves(tmp_path, command, kind):
    """The parent's notifications and the workers', each once."""
    folder = tmp_path / "uwsgi"
    folder.mkdir()
    loaded, ids = str(uuid.uuid4()), [str(uuid.uuid4()) for _ in range(TRACES)]
    with STORES[kind](tmp_path / "store", command) as (url, read):
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
            ends = read(base_id, count)
            assert len(ends) == count, server.output
            assert set(ends.values()) == {1}
    assert "cannot store" not in server.output
