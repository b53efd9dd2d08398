# SPDX-License-Identifier: Apache-2.0
"""Outgoing requests as points, with a real server."""

import http.server
import threading

import pytest
import requests
from conftest import drawn, points, start_info, stop_info
from osprofiler import _utils, profiler
from osprofiler import requests as tracing


@pytest.fixture
def server():
    """Return a server that keeps the headers it gets."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.received.append(self.headers)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.received = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def enabled(monkeypatch):
    """Tracing of requests, for one test."""
    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", tracing._FUNC)
    tracing.enable()
    tracing.enable()


def test_a_request_is_a_point_and_carries_the_trace(recording, base_id, server):
    profiler.init("key", base_id)
    port = server.server_address[1]
    assert requests.get(f"http://127.0.0.1:{port}/a/b?c=d", timeout=10).status_code == 204
    assert recording.tree(base_id) == "http"
    report = recording.report(base_id)
    (info,) = points(report, "http")
    assert start_info(info)["requests"] == {
        "method": "GET",
        "query": "c=d",
        "path": "/a/b",
        "hostname": "127.0.0.1",
        "port": port,
        "scheme": "http",
    }
    assert stop_info(info)["requests"] == {"status_code": 204}
    (headers,) = server.received
    sent = _utils.signed_unpack(headers["X-Trace-Info"], headers["X-Trace-HMAC"], ["key"])
    assert (sent["base_id"], sent["parent_id"]) == (base_id, report["children"][0]["trace_id"])


def test_a_request_outside_a_trace_is_as_ever(server):
    profiler.clean()
    assert requests.get(f"http://127.0.0.1:{server.server_address[1]}/", timeout=10).status_code == 204
    assert "X-Trace-Info" not in server.received[0]


def test_a_failed_request_ends_its_point(recording, base_id):
    """D-27."""
    profiler.init("key", base_id)
    with profiler.Trace("outer"):
        with pytest.raises(requests.ConnectionError):
            requests.get("http://127.0.0.1:1/", timeout=10)
        with profiler.Trace("sibling"):
            pass
    assert recording.tree(base_id) == drawn("""
        outer
          http (requests.exceptions.ConnectionError)
          sibling
    """)
