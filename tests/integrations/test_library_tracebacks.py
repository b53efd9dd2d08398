# SPDX-License-Identifier: Apache-2.0
"""What fails in a library that we hook into shows no frame of ours, inside a trace and outside of any.

A wrapper is a row of `FAILURES`: what is enabled, and what fails.
"""

import asyncio
import http.server
import importlib

import aiohttp
import httpx
import oslo_messaging
import pytest
import requests
import rpc_services
import urllib3
from conftest import own_frames
from osprofiler import asgi
from python.test_middleware import own_settings, signed

__all__ = ["own_settings"]


@pytest.fixture
def nobody():
    """Return where nobody is."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        port = server.server_port
    return f"http://127.0.0.1:{port}"


async def by_httpx(url):
    async with httpx.AsyncClient() as client:
        await client.get(url)


async def by_aiohttp(url, **options):
    async with aiohttp.ClientSession() as session, session.get(url, **options):
        pass


def call_that_nobody_answers(url):
    transport = rpc_services.transport("fake://")
    try:
        rpc_services.client(transport, "plain", timeout=0.01).call(rpc_services.Context("u"), "create", size=1)
    finally:
        transport.cleanup()


def dispatched(method):
    """Let the dispatcher call a method, as a server of the library does on a thread of its own."""
    dispatcher = oslo_messaging.RPCDispatcher([rpc_services.PlainManager()], rpc_services.PlainSerializer())
    dispatcher.dispatch(Incoming(method))


class Incoming:
    """A message that has arrived."""

    client_timeout = None

    def __init__(self, method):
        place = {"hmac_key": "key", "base_id": "B", "parent_id": "P"}
        self.ctxt = {"user": "u", "trace_info": place}
        self.message = {"method": method, "args": {}, "version": "1.0"}


FAILURES = {
    "requests": ("requests", lambda url: requests.get(url, timeout=60)),
    "urllib3": ("urllib3", lambda url: urllib3.PoolManager(retries=1).request("GET", url)),
    "httpx": ("httpx", httpx.get),
    "httpx, asyncio": ("httpx", lambda url: asyncio.run(by_httpx(url))),
    "aiohttp": ("aiohttp", lambda url: asyncio.run(by_aiohttp(url))),
    "aiohttp, wrong arguments": ("aiohttp", lambda url: asyncio.run(by_aiohttp(url, unknown=1))),
    "a call": ("messaging", call_that_nobody_answers),
    "a called method": ("messaging", lambda _: dispatched("broken")),
    "what a called method may raise": ("messaging", lambda _: dispatched("expected")),
    "a method that is absent": ("messaging", lambda _: dispatched("absent")),
}


@pytest.mark.parametrize(("module", "fail"), FAILURES.values(), ids=FAILURES)
def test_no_frame_of_ours_is_in_a_traceback_of_a_library(maybe_tracing, nobody, module, fail):
    tracing = importlib.import_module(f"osprofiler.{module}")
    tracing.enable()
    try:
        with pytest.raises(Exception) as raised:  # noqa: PT011
            fail(nobody)
    finally:
        tracing.disable()
    assert own_frames(raised.value) == []


async def failing(scope, receive, send):
    raise ValueError("broken")


async def sending(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def nobody_listens(message):
    await asyncio.sleep(0)
    raise ConnectionResetError


@pytest.mark.parametrize("headers", [{}, signed("B")], ids=["untraced", "traced"])
@pytest.mark.parametrize("app", [failing, sending, 7])
def test_no_frame_of_ours_is_in_a_traceback_of_an_asgi_request(collected, app, headers):
    middleware = asgi.AsgiMiddleware(app, hmac_keys="key", enabled=True)
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    with pytest.raises((ValueError, TypeError, ConnectionResetError)) as raised:
        asyncio.run(middleware({"type": "http", "path": "/", "headers": encoded}, None, nobody_listens))
    assert own_frames(raised.value) == []
    assert bool(collected) is bool(headers)
