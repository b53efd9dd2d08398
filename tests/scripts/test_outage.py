# SPDX-License-Identifier: Apache-2.0
"""`make outage` ends when somebody presses Ctrl-C: what runs is ended, and what waits for its turn begins no more."""

import signal
import sys
import threading

import pytest

from house.failure import Failure
from outage import __main__ as outage
from outage import service, stores
from outage.faults import FAULTS


@pytest.fixture(autouse=True)
def _going_on(monkeypatch):
    """Let only this test be over."""
    monkeypatch.setattr(service, "_over", threading.Event())
    monkeypatch.setattr(service, "_running", set())


def test_a_service_that_runs_is_ended_and_none_starts(monkeypatch):
    """One that only waits to be told something is enough of a service."""
    monkeypatch.setattr(service, "PROGRAM", "input()")
    running = service.Service(sys.executable, "here://", {})
    service.kill_all()
    running.process.communicate()
    assert running.process.returncode == -signal.SIGKILL
    with pytest.raises(Failure, match="it was interrupted"):
        service.Service(sys.executable, "here://", {})


def test_a_group_that_waits_for_its_turn_starts_no_server(monkeypatch, tmp_path):
    """It comes to its turn because the others end."""
    started = []
    monkeypatch.setattr(outage, "FOLDER", tmp_path)
    monkeypatch.setattr(stores, "serving", lambda *arguments: started.append(arguments))
    service.kill_all()
    (failure,) = outage._tried("redis", [FAULTS[0]], None, None, None)
    assert str(failure) == "redis: it was interrupted"
    assert started == []
