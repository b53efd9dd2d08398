# SPDX-License-Identifier: Apache-2.0
"""The scenario of `make demo`, recorded twice: by our wheel into SQLite, by upstream's profiler into a real Redis.

`make test` runs this in the environment with our wheel and names the one with upstream's profiler in
OSPROFILER_UPSTREAM_PYTHON, the command in OSPROFILER_BIN.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from by_hand import await_stored

from demo import cloud, scenario
from demo.client import Client
from demo.cloud import Cloud
from house.environments import Environment
from servers.redis import Redis


@dataclass(frozen=True)
class Recorded:
    """A profiled `openstack image list`: what the client printed, and the report of its trace."""

    table: str
    trace_id: str
    report: dict


def record(environment: Environment, template: Path, folder: Path, store: str, command: Path) -> Recorded:
    """Run the scenario with the profiler of an environment and read its report back."""
    with Cloud(environment, template, folder, store) as running:
        client = Client(running)
        scenario.upload_image(client, folder)
        scenario.warm_up(client)
        recording = scenario.record(client)
        await_stored(running, command)
        report = scenario.report(command, recording.trace_id, store, folder / "report.log")
    return Recorded(recording.output.data, recording.trace_id, report)


@pytest.fixture(scope="session")
def command() -> Path:
    """Return the `osprofiler` command."""
    return Path(os.environ["OSPROFILER_BIN"])


@pytest.fixture(scope="session")
def ours() -> Environment:
    """Return the environment with our wheel: the one that runs these tests."""
    return Environment(Path(sys.prefix))


@pytest.fixture(scope="session")
def upstream() -> Environment:
    """Return the environment with upstream's profiler."""
    return Environment(Path(os.environ["OSPROFILER_UPSTREAM_PYTHON"]).parents[1])


@pytest.fixture(scope="session")
def template(upstream: Environment) -> Path:
    """Return the prepared data of Keystone and Glance."""
    return cloud.prepared(upstream)


@pytest.fixture(scope="session")
def recorded_by_us(ours, template, command, tmp_path_factory) -> Recorded:
    """Record the scenario with our wheel into SQLite."""
    folder = tmp_path_factory.mktemp("ours")
    return record(ours, template, folder / "cloud", f"sqlite://{folder}/traces.db", command)


@pytest.fixture(scope="session")
def recorded_by_upstream(upstream, template, tmp_path_factory) -> Iterator[Recorded]:
    """Record the scenario with upstream's profiler into a real Redis."""
    folder = tmp_path_factory.mktemp("upstream")
    with Redis(folder / "redis") as redis:
        yield record(upstream, template, folder / "cloud", redis.url, upstream.program("osprofiler"))
