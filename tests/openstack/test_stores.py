# SPDX-License-Identifier: Apache-2.0
"""The demo's request recorded into each server that `make demo STORE=...` starts: the same trace as in a file."""

import json
import subprocess
from collections import Counter

import pytest
from conftest import record
from views import VIEWS

from demo import stores


@pytest.fixture(scope="module", params=stores.SERVERS)
def recorded(request, ours, template, command, tmp_path_factory):
    """Record the scenario into a server; return it with the connection string and the server, which runs meanwhile."""
    folder = tmp_path_factory.mktemp(request.param)
    with stores.running(request.param, folder / "store") as (server, store):
        yield record(ours, template, folder / "cloud", store, command), store, server


@pytest.mark.parametrize("view", VIEWS)
def test_a_server_holds_what_a_file_does(view, recorded, recorded_by_us):
    """Same names, parents, counts, members, statements and requests."""
    assert view(recorded[0].report) == view(recorded_by_us.report)
    assert sum(view(recorded_by_us.report).values()) > 0


def test_a_report_is_written_as_everybody_is_used_to(recorded, command, tmp_path):
    """With the connection string that the services have, as a page and as JSON."""
    recording, store, server = recorded
    for form in ("html", "json"):
        show = ["trace", "show", f"--{form}", recording.trace_id, "--connection-string", store]
        done = subprocess.run(
            [command, *show, "-o", tmp_path / f"report.{form}"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert Counter(report["stats"]) == Counter(recording.report["stats"])
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    if hasattr(server, "look"):
        points = sum(point["count"] for point in report["stats"].values())
        assert f"{points} spans" in server.look(recording.trace_id, points)
