# SPDX-License-Identifier: Apache-2.0
"""One `Trace` object that threads share, or that is entered within itself: each leaves its own point."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from osprofiler import _native, profiler


@pytest.mark.parametrize("bases", [("A", "B"), ("A", None), (None, "B")])
def test_threads_that_share_a_trace_object_leave_their_own_points(collected, bases):
    shared = profiler.Trace("x")

    def enter(base_id):
        if base_id is not None:
            profiler.init("key", base_id)
        shared.__enter__()

    def leave():
        shared.__exit__(None, None, None)
        with profiler.Trace("after"):
            pass

    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        first.submit(enter, bases[0]).result(60)
        second.submit(enter, bases[1]).result(60)
        first.submit(leave).result(60)
        second.submit(leave).result(60)
    traced = [base_id for base_id in bases if base_id is not None]
    told = [(n["name"], n["base_id"]) for n in collected]
    assert told == [("x-start", base_id) for base_id in traced] + [
        (name, base_id) for base_id in traced for name in ("x-stop", "after-start", "after-stop")
    ]
    assert all(n["parent_id"] == n["base_id"] for n in collected)


def test_a_trace_object_entered_again_leaves_the_inner_point_first(collected):
    shared = profiler.Trace("x")
    profiler.init("key", "B")
    with shared, profiler.Trace("y"), shared:
        pass
    starts = [n for n in collected if n["name"].endswith("start")]
    stops = [n for n in collected if n["name"].endswith("stop")]
    assert [n["trace_id"] for n in stops] == [n["trace_id"] for n in reversed(starts)]
    assert _native.current_context() is not None
