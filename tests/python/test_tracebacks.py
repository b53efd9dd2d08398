# SPDX-License-Identifier: Apache-2.0
"""What fails below a wrapper of ours shows no frame of ours: the middleware, and functions that are carried.

Functions and generators are in `test_functions.py` and `test_suspending.py`; what wraps other libraries is beside them.
"""

import asyncio
import concurrent.futures

import pytest
import webob
import webob.exc
from conftest import own_frames
from osprofiler import _native, context, web
from test_middleware import own_settings, signed

__all__ = ["own_settings"]


class Body:
    """An answer that fails in one place."""

    def __init__(self, fails):
        self.fails = fails

    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return self

    def __iter__(self):
        self.fail("iter")
        return self

    def __next__(self):
        self.fail("next")
        raise StopIteration

    def close(self):
        self.fail("close")

    def fail(self, place):
        if self.fails == place:
            raise ValueError("broken")


def failing(environ, start_response):
    raise ValueError("broken")


def absent(environ, start_response):
    raise webob.exc.HTTPNotFound("absent")


def failing_start(status, headers, exc_info=None):
    raise ValueError("nobody listens")


APPLICATIONS = {
    "the application": failing,
    "no application": 7,
    "an iterator": Body("iter"),
    "a part": Body("next"),
    "the end": Body("close"),
}


def served(middleware, headers):
    body = middleware(webob.Request.blank("/", headers=headers).environ, lambda *args: None)
    try:
        list(body)
    finally:
        body.close()


def responded(middleware, headers):
    response = middleware(webob.Request.blank("/", headers=headers))
    try:
        list(response.app_iter)
    finally:
        response.app_iter.close()


@pytest.mark.parametrize("headers", [{}, signed("B")], ids=["untraced", "traced"])
@pytest.mark.parametrize("serve", [served, responded])
@pytest.mark.parametrize("application", APPLICATIONS.values(), ids=APPLICATIONS)
def test_no_frame_of_ours_is_in_a_traceback_of_a_request(collected, application, serve, headers):
    middleware = web.WsgiMiddleware(application, "key", enabled=True)
    with pytest.raises((ValueError, TypeError)) as raised:
        serve(middleware, headers)
    assert own_frames(raised.value) == []
    assert bool(collected) is bool(headers)


@pytest.mark.parametrize("headers", [{}, signed("B")], ids=["untraced", "traced"])
def test_no_frame_of_ours_is_in_a_traceback_of_an_answer_that_was_raised(collected, headers):
    middleware = web.WsgiMiddleware(absent, "key", enabled=True)
    with pytest.raises(ValueError, match="nobody listens") as raised:
        middleware(webob.Request.blank("/", headers=headers).environ, failing_start)
    assert own_frames(raised.value) == []


def fail():
    raise ValueError("broken")


async def fail_later():
    await asyncio.sleep(0)
    raise ValueError("broken")


def submit_too_late():
    executor = context.carry_executor(concurrent.futures.ThreadPoolExecutor(1))
    executor.shutdown()
    executor.submit(fail)


def submit():
    with context.carry_executor(concurrent.futures.ThreadPoolExecutor(1)) as executor:
        executor.submit(fail).result()


CARRIED = {
    "a function": lambda: context.carry(fail)(),
    "no function": lambda: context.carry(None)(),
    "a coroutine": lambda: asyncio.run(context.carry(fail_later)()),
    "a submitted function": submit,
    "an executor": submit_too_late,
}


@pytest.mark.parametrize("run", CARRIED.values(), ids=CARRIED)
def test_no_frame_of_ours_is_in_a_traceback_of_what_is_carried(run, maybe_tracing):
    with pytest.raises((ValueError, TypeError, RuntimeError)) as raised:
        run()
    assert own_frames(raised.value) == []


def test_a_frame_is_hidden_where_there_is_none():
    """An error that was never raised has no traceback, and what is handled meanwhile stays as it is."""
    error = ValueError()
    _native.hide_frame(error)
    assert error.__traceback__ is None
    with pytest.raises(TypeError):
        _native.hide_frame(7)
