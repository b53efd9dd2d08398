# SPDX-License-Identifier: Apache-2.0
"""Ten minutes of each fault on each store, which pass at once: what was sent is stored, in files, or counted as lost.

`make outage` has the same trials in real minutes. A trial fails by itself where counters don't add up, or the store
does not hold what they say.
"""

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from outage import faults, stores, trial
from servers.stores import STORES

PACE = trial.Pace(minutes=10, is_real=False, spool_mib=8)
# What an answer of a slow store takes: the delivery's clock is let go on, a server's is not.
DELAY_SECONDS = 0.1
TRIALS = [(name, fault) for name in stores.NAMES for fault in faults.FAULTS if stores.can(name, *fault.begin)]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """Return a function that returns the running store of a name, one at a time."""
    with ExitStack() as stack:
        now = {}

        def store(name):
            if name not in now:
                stack.close()
                now.clear()
                folder = tmp_path_factory.mktemp("outages")
                now[name] = stack.enter_context(stores.started(name, folder, DELAY_SECONDS))
            return now[name]

        yield store


@pytest.mark.parametrize(("name", "fault"), TRIALS, ids=[f"{name}, {fault.name}" for name, fault in TRIALS])
def test_what_was_sent_is_stored_in_files_or_lost(running, name, fault, tmp_path, record_property):
    """And requests go on: what is recorded during the fault is recorded before it ends. The table is conftest's."""
    command = Path(os.environ["OSPROFILER_BIN"])
    row = trial.run(sys.executable, command, running(name), fault, PACE, tmp_path / "files")
    record_property("outage", row.cells())
    assert row.sent == row.stored + row.spooled + row.lost
    requests = trial.ROUNDS * trial.REQUESTS_A_ROUND + (0 if fault.at_start else trial.REQUESTS_BEFORE)
    assert row.sent == requests * trial.NOTIFICATIONS_A_REQUEST
    if fault.is_too_much:
        # Some times as much as may wait was recorded: some of it is kept, and memory held little of it.
        assert row.spooled_meanwhile > 0
        assert row.lost > row.stored
        assert row.grown_mib < 32
    elif fault.loses_data:
        # What was there before; a driver of files notices that it is gone.
        assert row.lost in (0, trial.REQUESTS_BEFORE * trial.NOTIFICATIONS_A_REQUEST)
    else:
        assert row.lost == 0


@pytest.mark.parametrize("name", stores.NAMES)
def test_every_fault_is_tried_on_a_store_or_there_is_a_reason(name):
    """And a reason is no excuse: where a fault can be had, there is none. The list of stores is the drivers'."""
    assert set(STORES) < set(stores.NAMES)
    for fault in faults.FAULTS:
        assert ((name, fault) in TRIALS) != bool(stores.why_not(name, fault)), fault.name
