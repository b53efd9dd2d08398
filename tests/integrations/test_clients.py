# SPDX-License-Identifier: Apache-2.0
"""Outgoing requests as points, each library against a real server: what they tell, send on, and leave alone.

A library is a row of `CLIENTS`; each test holds for all of them.
"""

import asyncio
import http.server
import importlib
import logging
import threading
from dataclasses import dataclass

import aiohttp
import httpx
import pytest
import requests
import urllib3
from conftest import draw, drawn, points, run_python, start_info, stop_info
from osprofiler import _libraries, _outgoing, _utils, profiler


async def by_httpx_async(url):
    async with httpx.AsyncClient(follow_redirects=True) as client:
        return (await client.get(url)).status_code


async def by_aiohttp(url):
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status


@dataclass(frozen=True)
class Client:
    """A library: how a request is made with it, and what it raises when nobody answers."""

    library: str
    get: object
    refused: str

    @property
    def tracing(self):
        """What traces it."""
        return importlib.import_module(f"osprofiler.{self.library}")


CLIENTS = {
    "requests": Client(
        "requests", lambda url: requests.get(url, timeout=60).status_code, "requests.exceptions.ConnectionError"
    ),
    "urllib3": Client(
        "urllib3",
        lambda url: urllib3.PoolManager(retries=3).request("GET", url).status,
        "urllib3.exceptions.NewConnectionError",
    ),
    "httpx": Client("httpx", lambda url: httpx.get(url, follow_redirects=True).status_code, "httpx.ConnectError"),
    "httpx-async": Client("httpx", lambda url: asyncio.run(by_httpx_async(url)), "httpx.ConnectError"),
    "aiohttp": Client(
        "aiohttp", lambda url: asyncio.run(by_aiohttp(url)), "aiohttp.client_exceptions.ClientConnectorError"
    ),
}


@pytest.fixture(params=CLIENTS)
def client(request):
    """Each library in turn, with its tracing enabled, twice."""
    client = CLIENTS[request.param]
    client.tracing.enable()
    client.tracing.enable()
    yield client
    client.tracing.disable()
    assert not _outgoing._open_places


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers 204, or leads to somewhere else; a request that is answered with 503 may be sent again."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.received.append((self.path, self.headers))
        self.send_response({"/redirect": 302, "/busy": 503}.get(self.path, 204))
        if self.path == "/redirect":
            self.send_header("Location", "/end")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    """Return a server that keeps the headers it gets."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.received = []
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def url(server):
    """Return where the server is."""
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def nobody():
    """Return where nobody is."""
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        port = server.server_port
    return f"http://127.0.0.1:{port}"


def test_a_request_is_a_point_and_carries_the_trace(recording, base_id, client, server, url):
    profiler.init("key", base_id)
    with profiler.Trace("outer"):
        assert client.get(f"{url}/a/b?c=d") == 204
    assert recording.tree(base_id) == "outer\n  http"
    report = recording.report(base_id)
    (info,) = points(report, "http")
    assert start_info(info)["requests"] == {
        "method": "GET",
        "query": "c=d",
        "path": "/a/b",
        "hostname": "127.0.0.1",
        "port": server.server_port,
        "scheme": "http",
    }
    assert stop_info(info)["requests"] == {"status_code": 204}
    ((_path, headers),) = server.received
    sent = _utils.signed_unpack(headers["X-Trace-Info"], headers["X-Trace-HMAC"], ["key"])
    assert (sent["base_id"], sent["parent_id"]) == (base_id, report["children"][0]["children"][0]["trace_id"])


def test_a_request_outside_of_a_trace_is_as_ever(collected, client, server, url):
    assert client.get(url) == 204
    assert "X-Trace-Info" not in server.received[0][1]
    assert collected == []


def test_a_request_without_a_key_is_a_point_that_carries_nothing(collected, client, server, url):
    profiler.init(None, "B")
    assert client.get(url) == 204
    assert "X-Trace-Info" not in server.received[0][1]
    assert [n["name"] for n in collected] == ["http-start", "http-stop"]


def test_a_request_is_no_point_after_disable(collected, client, server, url):
    client.tracing.disable()
    profiler.init("key", "B")
    assert client.get(url) == 204
    assert "X-Trace-Info" not in server.received[0][1]
    assert collected == []


def test_a_redirect_is_a_request_of_its_own(recording, base_id, client, server, url):
    profiler.init("key", base_id)
    assert client.get(f"{url}/redirect") == 204
    assert recording.tree(base_id) == "http\nhttp"
    infos = points(recording.report(base_id), "http")
    assert [start_info(info)["requests"]["path"] for info in infos] == ["/redirect", "/end"]
    assert [stop_info(info)["requests"]["status_code"] for info in infos] == [302, 204]
    # Each hop names its own point.
    assert len({headers["X-Trace-Info"] for _path, headers in server.received}) == 2


def test_a_request_that_nobody_answers_ends_its_point(recording, base_id, client, nobody):
    """D-27."""
    profiler.init("key", base_id)
    with profiler.Trace("outer"):
        with pytest.raises(Exception, match=r"\S"):
            client.get(nobody)
        with profiler.Trace("sibling"):
            pass
    tree = recording.tree(base_id).splitlines()
    # urllib3 has tried three times more.
    attempts = 4 if client.library == "urllib3" else 1
    assert tree == ["outer", *[f"  http ({client.refused})"] * attempts, "  sibling"]
    assert stop_info(points(recording.report(base_id), "http")[0])["message"]


def test_a_password_in_a_url_is_told_nobody(collected, client, url):
    profiler.init("key", "B")
    assert client.get(url.replace("//", "//user:pa55word@") + "/a") == 204
    assert "pa55word" not in str(collected)
    assert collected[0]["info"]["requests"]["hostname"] == "127.0.0.1"


def test_headers_of_an_earlier_trace_are_replaced(collected, client, server, url):
    for base_id in ("first", "second"):
        profiler.clean()
        profiler.init("key", base_id)
        client.get(url)
    sent = [headers.get_all("X-Trace-Info") for _path, headers in server.received]
    ids = [
        _utils.signed_unpack(info, headers["X-Trace-HMAC"], ["key"])["base_id"]
        for (info,), (_path, headers) in zip(sent, server.received, strict=True)
    ]
    assert ids == ["first", "second"]


def test_a_caller_keeps_his_own_headers(collected, server, url):
    CLIENTS["urllib3"].tracing.enable()
    profiler.init("key", "B")
    own = {"x-trace-info": "stale", "A": "b"}
    pool = urllib3.HTTPConnectionPool("127.0.0.1", server.server_port, headers=own)
    assert pool.request("GET", "/").status == 204
    # What is sent through a tunnel comes here as it was given.
    assert pool._make_request(pool._get_conn(), "GET", "/", headers=own).status == 204
    assert own == {"x-trace-info": "stale", "A": "b"}
    for _path, headers in server.received:
        assert headers["A"] == "b"
        (info,) = headers.get_all("X-Trace-Info")
        assert _utils.signed_unpack(info, headers["X-Trace-HMAC"], ["key"])["base_id"] == "B"
    CLIENTS["urllib3"].tracing.disable()


@pytest.fixture
def both():
    """Enable `requests`, and what it rides on."""
    for name in ("requests", "urllib3"):
        CLIENTS[name].tracing.enable()
    yield
    for name in ("requests", "urllib3"):
        CLIENTS[name].tracing.disable()


def test_a_library_that_rides_on_another_makes_no_second_point(recording, base_id, both, server, url):
    profiler.init("key", base_id)
    requests.get(url, timeout=60)
    urllib3.PoolManager().request("GET", url)
    assert recording.tree(base_id) == "http\nhttp"
    assert all("status_code" in stop_info(info)["requests"] for info in points(recording.report(base_id), "http"))
    parents = [
        _utils.signed_unpack(headers["X-Trace-Info"], headers["X-Trace-HMAC"], ["key"])["parent_id"]
        for _path, headers in server.received
    ]
    assert parents == [node["trace_id"] for node in recording.report(base_id)["children"]]


def test_a_point_between_two_libraries_keeps_both(recording, base_id, both, url):
    """What runs inside a request's point, but in a point of its own, is not that request."""

    class InProcess(requests.adapters.HTTPAdapter):
        def add_headers(self, request, **kwargs):
            with profiler.Trace("handler"):
                urllib3.PoolManager().request("GET", url)

    profiler.init("key", base_id)
    with requests.Session() as session:
        session.mount("http://", InProcess())
        assert session.get(url, timeout=60).status_code == 204
    assert recording.tree(base_id) == drawn("""
        http
          handler
            http
    """)


def test_retries_of_urllib3_are_requests_and_those_of_requests_are_one(recording, base_id, both, url):
    retries = urllib3.Retry(2, status_forcelist=[503], raise_on_status=False)
    profiler.init("key", base_id)
    with profiler.Trace("urllib3"):
        assert urllib3.PoolManager(retries=retries).request("GET", f"{url}/busy").status == 503
    with profiler.Trace("requests"), requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
        assert session.get(f"{url}/busy", timeout=60).status_code == 503
    assert recording.tree(base_id) == drawn("""
        urllib3
          http
          http
          http
        requests
          http
    """)


def test_a_request_through_a_proxy_tells_its_own_host(recording, base_id, server, url):
    CLIENTS["urllib3"].tracing.enable()
    profiler.init("key", base_id)
    with urllib3.ProxyManager(url) as proxy:
        assert proxy.request("GET", "http://elsewhere.example:8080/a?u=http://x").status == 204
    CLIENTS["urllib3"].tracing.disable()
    (info,) = points(recording.report(base_id), "http")
    told = start_info(info)["requests"]
    assert (told["hostname"], told["port"], told["path"], told["query"]) == (
        "elsewhere.example",
        8080,
        "/a",
        "u=http://x",
    )


def test_requests_of_tasks_keep_to_their_own(recording, base_id, url):
    for name in ("httpx", "aiohttp"):
        CLIENTS[name].tracing.enable()

    async def request(number, get):
        profiler.init("key", f"{base_id}-{number}")
        with profiler.Trace("task"):
            assert await get(f"{url}/{number}") == 204

    async def main():
        await asyncio.gather(*(request(n, by_httpx_async if n % 2 else by_aiohttp) for n in range(20)))

    asyncio.run(main())
    for number in range(20):
        report = recording.report(f"{base_id}-{number}")
        assert draw(report) == "task\n  http"
        assert start_info(points(report, "http")[0])["requests"]["path"] == f"/{number}"
    for name in ("httpx", "aiohttp"):
        CLIENTS[name].tracing.disable()


@pytest.mark.parametrize(("library", "get"), [("httpx", by_httpx_async), ("aiohttp", by_aiohttp)])
def test_a_cancelled_request_ends_its_point(recording, base_id, url, library, get):
    tracing = importlib.import_module(f"osprofiler.{library}")
    tracing.enable()
    profiler.init("key", base_id)

    async def main():
        task = asyncio.ensure_future(get(url))
        # It is cancelled where it waits for the first time: in the middle of connecting.
        asyncio.get_running_loop().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    tracing.disable()
    assert recording.tree(base_id) == "http (asyncio.exceptions.CancelledError)"


URLS = [
    ("https://h/a", ("https", 443, "h")),
    ("HTTP://H:80", ("http", 80, "h")),
    ("http://[::1]:8080/", ("http", 8080, "::1")),
    ("http://[::1", ("http", "", None)),
    ("http://h:99999999/", ("http", "", "h")),
    ("http://h:port/", ("http", "", "h")),
    ("wss://h/", ("wss", 443, "h")),
    ("ftp://h/", ("ftp", "", "h")),
    ("/path", ("http", "", None)),
    ("", ("http", "", None)),
    (None, ("http", "", None)),
    (b"http://h/", ("http", "", None)),
    (object(), ("http", "", None)),
]


@pytest.mark.parametrize(("url", "told"), URLS)
def test_no_url_is_too_odd(url, told):
    name, info = _outgoing._info("GET", url)
    assert (name, info["port"], info["hostname"]) == told


@pytest.mark.parametrize("library", ["requests", "urllib3", "httpx", "aiohttp"])
def test_a_missing_library_is_told_once_with_what_to_install(library):
    done = run_python(
        """
        import importlib, logging, sys
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
        name = sys.argv[1]
        sys.modules[name] = None
        tracing = importlib.import_module(f"osprofiler.{name}")
        tracing.enable(), tracing.enable(), tracing.disable()
        """,
        library,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"WARNING requests of `{library}` are not traced: ")
    assert line.endswith(f"`pip install osprofiler[{library}]`")


def test_a_library_that_is_too_old_is_told(monkeypatch, caplog):
    caplog.set_level(logging.WARNING, "osprofiler")
    monkeypatch.setattr(_libraries, "_told", set())
    assert _libraries.library("aiohttp", "requests", since=("99", "absent")) is None
    (record,) = caplog.records
    assert f"`aiohttp` is version {aiohttp.__version__}, and 99 or later is wanted" in record.message


def test_nothing_is_imported_before_it_is_enabled():
    done = run_python(
        """
        import sys
        from osprofiler import aiohttp, httpx, requests, urllib3
        print(sorted({"aiohttp", "httpx", "requests", "urllib3"} & set(sys.modules)))
        """
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
