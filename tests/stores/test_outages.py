# SPDX-License-Identifier: Apache-2.0
"""Ten minutes of each fault on each store, which pass at once: what was sent is stored, in files, or counted as lost.

`make outage` has the same trials in real minutes. A trial fails by itself where counters don't add up, or the store
does not hold what they say.
"""

import os
import sys
from pathlib import Path

import pytest

from outage import faults, stores, trial

PACE = trial.Pace(minutes=10, is_real=False)
# What an answer of a slow store takes: the delivery's clock is let go on, a server's is not.
DELAY_SECONDS = 0.1


@pytest.fixture(scope="module", params=stores.NAMES)
def store(request, tmp_path_factory):
    """Return each running store in turn."""
    with stores.started(request.param, tmp_path_factory.mktemp("outages"), DELAY_SECONDS) as store:
        yield store


@pytest.mark.parametrize("fault", faults.FAULTS, ids=lambda fault: fault.name)
def test_what_was_sent_is_stored_in_files_or_lost(store, fault, tmp_path):
    """And requests go on: what is recorded during the fault is, before it ends."""
    if not store.can(*fault.begin):
        assert fault.begin != faults.DOWN
        return
    row = trial.run(sys.executable, Path(os.environ["OSPROFILER_BIN"]), store, fault, PACE, tmp_path / "files")
    print(*row.cells(), sep=" | ")
    assert row.sent == row.stored + row.spooled + row.lost
    sent = PACE.minutes * 100 * trial.NOTIFICATIONS_A_REQUEST
    assert row.sent in (sent, sent + 20 * trial.NOTIFICATIONS_A_REQUEST)
    if fault.is_too_much:
        # Ten times as much as may wait was recorded: some of it is kept, and memory held no more than it may.
        assert row.lost > 0
        assert row.stored > 0
        assert row.grown_mib < 64
    else:
        assert row.lost == 0
