# SPDX-License-Identifier: Apache-2.0
"""Several stores in one connection string, on two servers: each gets everything, and one's outage is its own."""

import json

import pytest
import redis
from recording import Service

from house.waiting import wait_until
from servers.jaeger import Jaeger
from servers.redis import Redis

ID = "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee"
SECONDS = 120


@pytest.fixture
def jaeger(tmp_path):
    """Return a running Jaeger."""
    with Jaeger(tmp_path / "jaeger") as server:
        yield server


def test_the_outage_of_one_store_is_not_the_others(jaeger, tmp_path, monkeypatch, command):
    """Both have what both took; what one could not take is counted as its own, and comes when it is back."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setenv("OSPROFILER_RUNTIME_DIR", str(folder))
    server = Redis(tmp_path / "redis")
    lines = redis.Redis.from_url(server.url)
    key = f"osprofiler_opt:{ID}"

    def counted(name):
        """Return a number of each store, as the process publishes it."""
        processes = json.loads(command("doctor", "--processes", "--json").stdout)["processes"]
        return {store["store"].partition(":")[0]: store[name] for one in processes for store in one["stores"]}

    with Service(f"{server.url}?connect_timeout=0.5, {jaeger.url(socket_timeout=str(SECONDS))}") as service:
        with server:
            service.record(ID, 10)
            # A notification counts once a store.
            assert service.flush()["stored"] == 40
            assert lines.llen(key) == 20
            assert len(jaeger.trace(ID, 10)) == 10
            wait_until(lambda: counted("stored") == {"redis": 20, "otlp": 20}, "the counters", SECONDS)
        service.record(ID, 10)
        assert len(jaeger.trace(ID, 20)) == 20
        # That it has them is known here, and to the service with the answer.
        wait_until(lambda: service.flush(0)["waiting"] == 20, "Jaeger's answer", SECONDS)
        wait_until(lambda: counted("waiting") == {"redis": 20, "otlp": 0}, "the counters", SECONDS)
        assert counted("stored") == {"redis": 20, "otlp": 40}
        with server:
            assert service.flush()["stored"] == 80
            # It keeps nothing on disk.
            assert lines.llen(key) == 20
            service.end()
    assert "`redis://" in service.log
    assert "`otlp://" not in service.log
