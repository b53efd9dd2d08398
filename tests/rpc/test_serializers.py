# SPDX-License-Identifier: Apache-2.0
"""A trace goes on over RPC of Nova, Cinder and Neutron, by their own serializers: below the caller's point, once.

Within a process over the driver `fake`, and between two over a real RabbitMQ. Each service runs in processes of its own
(`service.py`): they cannot be imported beside each other.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import points, start_info

from servers.rabbitmq import RabbitMQ

PROGRAM = Path(__file__).with_name("service.py")
CONFIGURATION = """
[DEFAULT]
transport_url = {transport_url}
state_path = {folder}
[oslo_concurrency]
lock_path = {folder}
[profiler]
enabled = True
hmac_keys = key
connection_string = {store}
"""
# A service, what its processes' environment says, and the name that its points carry.
SERVICES = {
    "nova": ("nova", {"OS_NOVA_DISABLE_EVENTLET_PATCHING": "yes"}, "nova-compute"),
    "nova, eventlet": ("nova", {"OS_NOVA_DISABLE_EVENTLET_PATCHING": "no"}, "nova-compute"),
    "cinder": ("cinder", {}, "cinder-volume"),
    "neutron": ("neutron", {}, "neutron-server"),
}
# The second call is in no trace; the third one's point hangs below its own caller.
TREE = "request\n  rpc\n    work\nrequest\n  rpc\n    work"


@pytest.fixture(params=SERVICES.values(), ids=SERVICES)
def start(request, tmp_path, store, base_id):
    """Return what starts an end of a service."""
    name, environment, _ = request.param

    def start(end, transport_url):
        configuration = tmp_path / "service.conf"
        configuration.write_text(
            CONFIGURATION.format(transport_url=transport_url, folder=tmp_path, store=store.connection_string)
        )
        return subprocess.Popen(
            [sys.executable, PROGRAM, name, end, configuration, base_id],
            env={**os.environ, "PYTHONWARNINGS": "ignore", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    start.service = request.param[2]
    return start


def end(process):
    """Wait for a process, with its input closed, and fail if it has failed."""
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors


def check(store, base_id, service):
    """Hold the trace that both calls have left against what is wanted."""
    assert store.tree(base_id) == TREE
    report = store.report(base_id)
    for name in ("request", "rpc", "work"):
        assert [info["service"] for info in points(report, name)] == [service] * 2
    assert [start_info(info)["function"]["name"].rpartition(".")[2] for info in points(report, "rpc")] == ["double"] * 2
    numbers = [start_info(info)["function"]["kwargs"] for info in points(report, "rpc")]
    assert numbers == ["{'number': 0}", "{'number': 2}"]


def test_a_call_goes_on_within_a_process(start, store, base_id):
    end(start("both", "fake://"))
    check(store, base_id, start.service)


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory):
    """Return a broker."""
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


def test_a_call_goes_on_in_another_process(start, rabbitmq, store, base_id):
    server = start("server", rabbitmq.url)
    try:
        ready = server.stdout.readline()
        if ready == "ready\n":
            end(start("client", rabbitmq.url))
    finally:
        end(server)
    assert ready == "ready\n"
    check(store, base_id, start.service)
