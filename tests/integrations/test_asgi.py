# SPDX-License-Identifier: Apache-2.0
"""The ASGI middleware below Starlette and FastAPI, over real HTTP and WebSockets of uvicorn, and with hostile headers.

The server runs on a thread of this process, so that client and service record into one store.
"""

import asyncio
import contextlib
import socket
import threading

import aiohttp
import fastapi
import httpx
import pytest
import uvicorn
from conftest import drawn, points, start_info, stop_info
from osprofiler import aiohttp as aiohttp_tracing
from osprofiler import asgi, profiler, web
from osprofiler import httpx as httpx_tracing
from python.test_middleware import HOSTILE, signed
from starlette import applications, background, middleware, responses, routing
from starlette.middleware.base import BaseHTTPMiddleware


@pytest.fixture(autouse=True)
def own_settings(monkeypatch):
    """Each middleware decides for itself."""
    monkeypatch.setattr(web, "_ENABLED", None)
    monkeypatch.setattr(web, "_HMAC_KEYS", None)


@pytest.fixture(autouse=True)
def clients():
    """Trace what the tests send."""
    for tracing in (aiohttp_tracing, httpx_tracing):
        tracing.enable()
    yield
    for tracing in (aiohttp_tracing, httpx_tracing):
        tracing.disable()


@contextlib.contextmanager
def serving(app):
    """Run uvicorn for as long as the block lasts, and return its host and port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield "{}:{}".format(*listening.getsockname())
        finally:
            server.should_exit = True
            thread.join()


def point(name):
    with profiler.Trace(name):
        return name


async def plain(request):
    return responses.PlainTextResponse(point("db"))


async def stream(request):
    async def parts():
        for _ in range(2):
            await asyncio.sleep(0)
            yield point("part")

    return responses.StreamingResponse(parts())


async def later(request):
    async def task():
        await asyncio.sleep(0)
        point("later")

    return responses.PlainTextResponse(point("db"), background=background.BackgroundTask(task))


async def tasks(request):
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(asyncio.to_thread(point, "task"))
    return responses.PlainTextResponse("done")


async def failing(request):
    raise ValueError("broken")


async def socket_of(websocket):
    await websocket.accept()
    while (text := await websocket.receive_text()) != "end":
        await websocket.send_text(point(text))
    await websocket.close()


class Passing(BaseHTTPMiddleware):
    """A middleware of Starlette that runs the application in a task of its own."""

    async def dispatch(self, request, call_next):
        return await call_next(request)


ROUTES = [
    *(routing.Route(f"/{function.__name__}", function) for function in (plain, stream, later, tasks, failing)),
    routing.WebSocketRoute("/socket", socket_of),
]
OURS = middleware.Middleware(asgi.AsgiMiddleware, hmac_keys="other, key", enabled=True)
ORDERS = {
    "alone": [OURS],
    "outermost": [OURS, middleware.Middleware(Passing)],
    "inside": [middleware.Middleware(Passing), OURS],
}


@pytest.fixture(scope="module", params=ORDERS)
def server(request):
    """Return where Starlette answers, with our middleware in different places."""
    with serving(applications.Starlette(routes=ROUTES, middleware=ORDERS[request.param])) as server:
        yield server


EXPECTED = {
    "/plain": (200, "asgi\n  db"),
    "/stream": (200, "asgi\n  part\n  part"),
    "/later": (200, "asgi\n  db\n  later"),
    "/tasks": (200, "asgi\n  task\n  task"),
    "/failing": (500, "asgi (ValueError)"),
}


@pytest.mark.parametrize("path", EXPECTED)
def test_a_request_is_a_point_below_its_client(recording, base_id, server, path):
    status, tree = EXPECTED[path]
    profiler.init("key", base_id)
    with profiler.Trace("client"):
        assert httpx.get(f"http://{server}{path}?a=b%20c").status_code == status
        # A second request on the same server begins outside of the first one's trace.
        httpx_tracing.disable()
        assert httpx.get(f"http://{server}{path}").status_code == status
    below = "\n".join(f"    {line}" for line in tree.splitlines())
    assert recording.tree(base_id) == f"client\n  http\n{below}"
    (info,) = points(recording.report(base_id), "asgi")
    assert start_info(info)["request"] == {"path": path, "query": "a=b%20c", "method": "GET", "scheme": "http"}
    assert profiler.get().get_base_id() == base_id


def test_a_background_task_makes_no_request_longer(collected, server):
    profiler.init("key", "B")
    assert httpx.get(f"http://{server}/later").text == "db"
    # The next answer on the connection's loop comes after the task.
    httpx.get(f"http://{server}/plain")
    names = [n["name"] for n in collected]
    assert names.index("asgi-stop") < names.index("later-start")


def test_a_websocket_is_a_point_until_it_is_closed(recording, base_id, server):
    async def main():
        async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://{server}/socket?a=b") as websocket:
            for text in ("first", "second"):
                await websocket.send_str(text)
                assert (await websocket.receive()).data == text
            await websocket.send_str("end")
            await websocket.receive()

    profiler.init("key", base_id)
    asyncio.run(main())
    profiler.clean()
    # The answer comes after everything that the server's loop had to do.
    httpx.get(f"http://{server}/plain")
    assert recording.tree(base_id) == drawn("""
        ws
          asgi
            first
            second
    """)
    report = recording.report(base_id)
    (info,), (client,) = points(report, "asgi"), points(report, "ws")
    assert start_info(info)["request"] == {"path": "/socket", "query": "a=b", "method": "GET", "scheme": "ws"}
    assert stop_info(client)["requests"] == {"status_code": 101}


def test_functions_of_fastapi_with_and_without_asyncio(recording, base_id):
    app = fastapi.FastAPI()
    app.add_middleware(asgi.AsgiMiddleware, hmac_keys=["key"], enabled="yes")

    @app.get("/thread/{name}")
    def on_a_thread(name: str, tasks: fastapi.BackgroundTasks):
        tasks.add_task(point, "later")
        return point(name)

    @app.get("/loop/{name}")
    async def on_the_loop(name: str):
        return point(name)

    profiler.init("key", base_id)
    with serving(app) as server, httpx.Client() as client:
        assert client.get(f"http://{server}/thread/a").json() == "a"
        assert client.get(f"http://{server}/loop/b%C3%A9").json() == "bé"
    assert recording.tree(base_id) == drawn("""
        http
          asgi
            a
            later
        http
          asgi
            bé
    """)
    assert start_info(points(recording.report(base_id), "asgi")[1])["request"]["path"] == "/loop/b%C3%A9"


def test_a_client_that_leaves_ends_the_point(recording, base_id):
    """The body is cut off in the middle: the point ends where the application does."""
    left = threading.Event()

    async def endless(scope, receive, send):
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await receive()
            while (await receive())["type"] != "http.disconnect":
                pass
            point("disconnected")
        finally:
            left.set()

    profiler.init("key", base_id)
    with serving(asgi.AsgiMiddleware(endless, "key", enabled=True)) as server:
        with httpx.stream("GET", f"http://{server}/") as response:
            next(response.iter_raw())
        left.wait()
    assert recording.tree(base_id) == drawn("""
        http
          asgi
            disconnected
    """)


async def lifespan(receive, send):
    for answer in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
        await receive()
        await send({"type": answer})


def ask(app, headers=(), **scope):
    """Call an application as a server does, and return what it sent."""
    sent = []

    async def main():
        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "http.request"}

        await app({"type": "http", "headers": headers, "path": "/", **scope}, receive, send)
        return profiler.get()

    assert asyncio.run(main()) is None
    return sent


async def answering(scope, receive, send):
    point("db")
    await send({"type": "http.response.body", "body": b"served"})


def pairs(headers):
    return [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]


@pytest.mark.parametrize("headers", HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers_are_served_untraced(collected, headers):
    """D-02, D-08."""
    (message,) = ask(asgi.AsgiMiddleware(answering, "key", enabled=True), pairs(headers))
    assert (message["body"], collected) == (b"served", [])


ODD = [
    {"headers": None},
    {"headers": [7]},
    {"headers": [("x-trace-info", "a", "b")]},
    {"path": None, "method": 7, "query_string": "text", "scheme": None},
    {"path": "/\udcff"},
    {"raw_path": b"/\xff?q"},
]


@pytest.mark.parametrize("scope", ODD, ids=ascii)
def test_no_scope_fails_a_request(collected, scope):
    (message,) = ask(asgi.AsgiMiddleware(answering, "key", enabled=True), **{"headers": pairs(signed("B")), **scope})
    assert message["body"] == b"served"


@pytest.mark.parametrize(
    ("enabled", "process", "traced"),
    [
        (True, None, True),
        (False, None, False),
        ("no", None, False),
        (False, lambda: web.enable("other"), False),
        (False, lambda: web.enable("key"), True),
        (True, web.disable, False),
    ],
)
def test_the_process_decides_over_a_middleware(collected, enabled, process, traced):
    app = asgi.AsgiMiddleware(answering, "key", enabled=enabled)
    if process:
        process()
    assert len(ask(app, pairs(signed("B")))) == 1
    assert [n["name"] for n in collected] == (["asgi-start", "db-start", "db-stop", "asgi-stop"] if traced else [])


def test_what_is_no_connection_passes(collected):
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope["type"])

    for type_ in ("lifespan", "other"):
        ask(asgi.AsgiMiddleware(app, "key", enabled=True), pairs(signed("B")), type=type_)
    assert (scopes, collected) == (["lifespan", "other"], [])


def test_a_point_open_at_the_last_message_keeps_what_follows(collected):
    async def app(scope, receive, send):
        with profiler.Trace("outer"):
            await send({"type": "http.response.body", "body": b"served"})
            point("inner")
        raise ValueError("after the answer")

    with pytest.raises(ValueError, match="after the answer"):
        ask(asgi.AsgiMiddleware(app, "key", enabled=True), pairs(signed("B")))
    names = {n["trace_id"]: n["name"].partition("-")[0] for n in collected}
    starts = {names[n["trace_id"]]: names.get(n["parent_id"]) for n in collected if n["name"].endswith("start")}
    assert starts == {"asgi": None, "outer": "asgi", "inner": "outer"}
    assert all("etype" not in n["info"] for n in collected)
