# SPDX-License-Identifier: Apache-2.0
"""The header `traceparent`: it goes out where spans go; what comes in links a traced request and starts nothing."""

import asyncio
import hashlib

import pytest
import webob
from conftest import KEY, run_python
from osprofiler import _native, asgi, profiler, web
from test_middleware import signed

BASE_ID = "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee"
PARENT_ID = "7d2b7aca-25f9-4c05-a0f5-c1f4b5e0a8e2"
OF_CALLER = "00-4e3e0ec6293840b1850409eb1d4b0dee-a0f5c1f4b5e0a8e2-01"
OF_PROXY = "00-4e3e0ec6293840b1850409eb1d4b0dee-00f067aa0ba902b7-01"
OF_OTHERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def outgoing(connection_string, program):
    """Return what a program prints whose traces go to a store that nobody listens at."""
    begin = f"""
from osprofiler import notifier, profiler, web
notifier.set(notifier.create({connection_string!r}, project="p", service="s"))
profiler.init("key", {BASE_ID!r}, {PARENT_ID!r})
"""
    ended = run_python(begin + program)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(
    ("connection_string", "names"),
    [
        ("file:///nowhere/traces", ["X-Trace-HMAC", "X-Trace-Info"]),
        ("otlp://127.0.0.1:1", ["X-Trace-HMAC", "X-Trace-Info", "traceparent"]),
        ("file:///nowhere/traces, otlps://127.0.0.1:1", ["X-Trace-HMAC", "X-Trace-Info", "traceparent"]),
    ],
)
def test_traceparent_goes_out_where_spans_go(connection_string, names):
    print_names = "with profiler.Trace('x'): print(sorted(web.get_trace_id_headers()))"
    assert outgoing(connection_string, print_names) == f"{names}\n"


def test_traceparent_names_the_innermost_point():
    """By its own id; a trace without a point by the caller's."""
    program = """
print(web.get_trace_id_headers()["traceparent"])
with profiler.Trace("x"):
    print(web.get_trace_id_headers()["traceparent"], profiler.get().get_id())
profiler.clean()
profiler.init("key", "B", "P")
print(web.get_trace_id_headers()["traceparent"])
profiler.clean()
print(web.get_trace_id_headers())
"""
    outer, inner, named, none = outgoing("otlp://127.0.0.1:1", program).splitlines()
    assert outer == OF_CALLER
    header, point = inner.split()
    assert header == f"{OF_CALLER[:36]}{point.replace('-', '')[16:]}-01"
    digests = [hashlib.sha1(text).hexdigest() for text in (b"B", b"P")]
    assert named == f"00-{digests[0][:32]}-{digests[1][16:32]}-01"
    assert none == "{}"


# What answers shows which headers came, and what the request had before and after.
CLIENT = """
import http.server, json, threading
from osprofiler import requests as tracing
import requests

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
tracing.enable()
session = requests.Session()
session.trust_env = False

def sent(**headers):
    request = session.prepare_request(requests.Request("GET", f"http://127.0.0.1:{server.server_port}/", headers))
    came = session.send(request).json()
    after = {name: request.headers.get(name) for name in headers}
    assert after == headers, after
    return came
"""


def test_a_request_carries_its_own_point_and_leaves_others_alone():
    """What was made in the point around is replaced, what the program's OpenTelemetry has set stays."""
    program = f"""{CLIENT}
with profiler.Trace("x"):
    around = web.get_trace_id_headers()
    own = sent(**around)
    assert own["traceparent"] != around["traceparent"]
    assert own["traceparent"][:36] == around["traceparent"][:36]
    assert own["x-trace-info"] != around["X-Trace-Info"]
    print(sent(traceparent={OF_OTHERS!r})["traceparent"], sent(Traceparent={OF_OTHERS!r})["traceparent"])
    print(sent()["traceparent"][:36])
profiler.clean()
print(sent().get("traceparent"), sent(traceparent={OF_OTHERS!r})["traceparent"])
"""
    kept, own, outside = outgoing("otlp://127.0.0.1:1", program).splitlines()
    assert kept == f"{OF_OTHERS} {OF_OTHERS}"
    assert own == OF_CALLER[:36]
    assert outside == f"None {OF_OTHERS}"


def test_without_such_a_store_a_traceparent_is_not_touched():
    program = f"""{CLIENT}
with profiler.Trace("x"):
    print(sent().get("traceparent"), sent(traceparent={OF_CALLER!r})["traceparent"])
"""
    assert outgoing("file:///nowhere/traces", program) == f"None {OF_CALLER}\n"


# What a request brings, and what its point tells.
CAME_IN = [
    (None, None),
    (OF_CALLER, None),
    (OF_PROXY, OF_PROXY),
    (OF_OTHERS, OF_OTHERS),
    (OF_OTHERS.replace("-01", "-00"), OF_OTHERS),
    ("cc" + OF_OTHERS[2:] + "-more", OF_OTHERS),
    (OF_OTHERS.upper(), None),
    (OF_OTHERS[:-1], None),
    ("00-" + "0" * 32 + "-b7ad6b7169203331-01", None),
    ("\xe9" * 55, None),
    ("", None),
]


def by_wsgi(headers):
    middleware = web.WsgiMiddleware(lambda environ, start_response: [b"served"], KEY, enabled=True)
    environ = webob.Request.blank("/", headers=headers).environ
    assert middleware(environ, lambda *args: None) == [b"served"]


def by_webob(headers):
    middleware = web.WsgiMiddleware(webob.Response(body=b"served"), KEY, enabled=True)
    assert middleware(webob.Request.blank("/", headers=headers)).body == b"served"


def by_asgi(headers):
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.body", "body": b"served"})

    async def send(message):
        sent.append(message["body"])

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": raw}
    asyncio.run(asgi.AsgiMiddleware(app, KEY, enabled=True)(scope, None, send))
    assert sent == [b"served"]


@pytest.mark.parametrize("serve", [by_wsgi, by_webob, by_asgi])
@pytest.mark.parametrize(("header", "told"), CAME_IN)
def test_what_comes_in_links_a_traced_request(collected, monkeypatch, serve, header, told):
    monkeypatch.setattr(web, "_ENABLED", None)
    monkeypatch.setattr(web, "_HMAC_KEYS", None)
    headers = {} if header is None else {"traceparent": header}
    serve(headers)
    assert collected == []
    assert profiler.get() is None
    serve(headers | signed(BASE_ID, KEY, PARENT_ID))
    start, _ = collected
    assert start["info"]["request"].get("traceparent") == told
    assert (start["base_id"], start["parent_id"]) == (BASE_ID, PARENT_ID)


def test_no_type_of_a_header_fails():
    for header in (None, 7, object(), [OF_OTHERS], "\ud800" * 55, b"\xff" * 55):
        assert _native.foreign_span(header, BASE_ID, PARENT_ID) is None
    assert _native.foreign_span(OF_OTHERS, None, object()) == OF_OTHERS
    assert _native.foreign_span(OF_CALLER.encode(), BASE_ID, PARENT_ID) is None
    assert _native.traceparent(object(), None) is None
