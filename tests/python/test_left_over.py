# SPDX-License-Identifier: Apache-2.0
"""What a finished request leaves in tasks and carried functions: a place in its trace, which the next one replaces.

In: work that was begun inside a request and goes on after its end. Out: as long as it begins no request of its own, its
points are the finished one's; those of its own request are in its own trace.
"""

import asyncio
import contextvars
import threading

import pytest
from conftest import KEY
from osprofiler import _native, _utils, profiler, web
from osprofiler.context import carry


def begin(base_id):
    profiler.init(KEY, base_id=base_id)
    with profiler.Trace("work"):
        pass


def serve(base_id):
    info, hmac = _utils.signed_pack({"base_id": base_id}, KEY)
    environ = {"HTTP_X_TRACE_INFO": info.decode(), "HTTP_X_TRACE_HMAC": hmac, "REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    web.WsgiMiddleware(lambda environ, start_response: [], KEY, enabled=True)(environ, lambda *args: None)


def by_task(work):
    """Run the work in a task that was begun inside of a point, once the request has ended."""

    async def request():
        ended = asyncio.Event()

        async def later():
            await ended.wait()
            work()

        profiler.init(KEY, base_id="finished")
        with profiler.Trace("request"):
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        profiler.clean()
        ended.set()
        await task

    asyncio.run(request())


def by_carried_thread(work):
    profiler.init(KEY, base_id="finished")
    with profiler.Trace("request"):
        thread = threading.Thread(target=carry(work))
    profiler.clean()
    thread.start()
    thread.join()


def by_copied_context(work):
    profiler.init(KEY, base_id="finished")
    with profiler.Trace("request"):
        context = contextvars.copy_context()
    profiler.clean()
    context.run(work)


@pytest.mark.parametrize("run", [by_task, by_carried_thread, by_copied_context])
@pytest.mark.parametrize(("work", "name"), [(begin, "work"), (serve, "wsgi")])
def test_a_request_of_its_own_has_a_trace_of_its_own(collected, run, work, name):
    run(lambda: work("new"))
    told = [(n["name"], n["base_id"], n["parent_id"] == n["base_id"]) for n in collected[2:]]
    assert told == [(f"{name}-start", "new", True), (f"{name}-stop", "new", True)]
    assert {n["base_id"] for n in collected[:2]} == {"finished"}


def test_a_trace_begun_without_an_id_is_a_new_one(collected):
    by_carried_thread(lambda: begin(None))
    assert collected[2]["base_id"] != "finished"


def test_a_served_request_leaves_no_place_behind(collected):
    places = []

    def work():
        serve("new")
        places.append(_native.current_context())

    by_carried_thread(work)
    assert places == [None]


def test_points_without_a_request_of_their_own_are_the_finished_ones(collected):
    def work():
        with profiler.Trace("work"):
            pass

    by_carried_thread(work)
    assert [n["base_id"] for n in collected] == ["finished"] * 4
    assert collected[2]["parent_id"] == collected[0]["trace_id"]


def test_a_request_inside_an_open_one_joins_it(collected):
    """In a thread of a request that goes on."""
    profiler.init(KEY, base_id="open")
    with profiler.Trace("request"):
        thread = threading.Thread(target=carry(lambda: begin("new")))
        thread.start()
        thread.join()
    assert {n["base_id"] for n in collected} == {"open"}
