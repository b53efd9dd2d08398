# SPDX-License-Identifier: Apache-2.0
"""The WSGI middleware: joins a signed trace, refuses hostile headers without an exception, follows streaming bodies."""

import base64
import http.client
import io
import json
import logging
import threading
import wsgiref.simple_server
import wsgiref.validate

import pytest
import webob
import webob.dec
import webob.exc
from conftest import drawn, points, start_info, stop_info
from osprofiler import _native, _utils, asgi, notifier, profiler, web


@pytest.fixture(autouse=True)
def own_settings(monkeypatch):
    """Each middleware decides for itself."""
    monkeypatch.setattr(web, "_ENABLED", None)
    monkeypatch.setattr(web, "_HMAC_KEYS", None)


def signed(base_id, key="key", parent_id="P"):
    info, hmac = _utils.signed_pack({"base_id": base_id, "parent_id": parent_id}, key)
    return {"X-Trace-Info": info.decode(), "X-Trace-HMAC": hmac}


@webob.dec.wsgify
def application(request):
    with profiler.Trace("db"):
        return webob.Response("served")


def get(middleware, headers, path="/"):
    return webob.Request.blank(path, headers=headers).get_response(middleware)


def test_a_signed_request_is_a_point(recording, base_id):
    middleware = web.WsgiMiddleware(application, "other, key", enabled=True)
    response = get(middleware, signed(base_id), "http://h:8774/v2.1/a%20b?q=1&r=%C3%A9")
    assert (response.status_int, response.text) == (200, "served")
    assert profiler.get() is None
    assert recording.tree(base_id) == "wsgi\n  db"
    (info,) = points(recording.report(base_id), "wsgi")
    assert start_info(info)["request"] == {
        "path": "/v2.1/a%20b",
        "query": "q=1&r=%C3%A9",
        "method": "GET",
        "scheme": "http",
    }


def test_the_path_includes_the_script_name(recording, base_id):
    middleware = web.WsgiMiddleware(application, "key", enabled=True)
    environ = webob.Request.blank("/identity/v3", headers=signed(base_id)).environ
    environ.update(SCRIPT_NAME="/identity", PATH_INFO="/v3/~a;b=\xc3\xa9")
    body = middleware(environ, lambda *args: None)
    assert b"".join(body) == b"served"
    (info,) = points(recording.report(base_id), "wsgi")
    assert start_info(info)["request"]["path"] == "/identity/v3/~a;b=%C3%A9"


def test_a_request_object_is_taken_too(recording, base_id):
    middleware = web.WsgiMiddleware(application, "key", enabled=True)
    response = middleware(webob.Request.blank("/a?b=c", headers=signed(base_id)))
    assert response.text == "served"
    assert recording.tree(base_id) == "wsgi\n  db"


@pytest.mark.parametrize(
    ("enabled", "traced"),
    [
        (True, True),
        ("True", True),
        ("yes", True),
        ("on", True),
        ("1", True),
        (False, False),
        ("False", False),
        ("no", False),
        ("0", False),
        ("", False),
        ("nonsense", False),
        (None, False),
    ],
)
def test_enabled_is_read_strictly(collected, enabled, traced):
    """D-15."""
    middleware = web.WsgiMiddleware.factory({}, hmac_keys="key", enabled=enabled, unknown="option")(application)
    assert get(middleware, signed("B")).status_int == 200
    assert bool(collected) is traced


def test_a_word_that_is_neither_yes_nor_no_is_told_once(caplog):
    caplog.set_level(logging.DEBUG, "osprofiler")
    for enabled in ("nonsense", "False", None, True, "yes # always", ""):
        web.WsgiMiddleware(application, "key", enabled=enabled)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.message.startswith(
        "`enabled` of the profiler's middleware is ignored: it is `nonsense`, and one of `1`"
    )


def test_unknown_options_are_told_in_one_debug_line(caplog):
    caplog.set_level(logging.DEBUG, "osprofiler")
    web.WsgiMiddleware.factory({"debug": "1"}, hmac_keys="key", enabled="True", b="2", a="1")(application)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("DEBUG", "unknown options of the profiler's middleware are ignored: `a`, `b`")
    ]


def test_an_option_that_is_nearly_one_is_warned_of(caplog):
    caplog.set_level(logging.DEBUG, "osprofiler")
    web.WsgiMiddleware(application, hmac_key="key", enable=True, other=1)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "`enable` of the profiler's middleware is ignored: did you mean `enabled`?"),
        ("WARNING", "`hmac_key` of the profiler's middleware is ignored: did you mean `hmac_keys`?"),
        ("DEBUG", "unknown options of the profiler's middleware are ignored: `other`"),
    ]


@pytest.mark.parametrize("keys", [None, "", [], ["", None, 7, object()], "other"])
def test_keys_that_sign_nothing_serve_untraced(collected, keys):
    assert get(web.WsgiMiddleware(application, keys, enabled=True), signed("B")).text == "served"
    assert collected == []


def test_headers_of_another_key_are_told_in_one_debug_line(collected, caplog):
    caplog.set_level(logging.DEBUG, "osprofiler.web")
    middleware = web.WsgiMiddleware(application, "s3cret, other", enabled=True)
    for headers in ({}, signed("B", key="other"), {"X-Trace-Info": "x"}):
        get(middleware, headers)
    assert caplog.records == []
    get(middleware, signed("B", key="wr0ng"))
    get(web.WsgiMiddleware(application, "s3cret", enabled=False), signed("B", key="wr0ng"))
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("DEBUG", "a request is not traced: its trace headers are malformed, or signed with none of `hmac_keys`")
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"HTTP_X_TRACE_INFO": 7},
        {"HTTP_X_TRACE_HMAC": b"bytes"},
        {"HTTP_X_TRACE_HMAC": ["list"]},
        {"REQUEST_METHOD": None, "PATH_INFO": 7, "QUERY_STRING": b"q", "wsgi.url_scheme": None},
        {"PATH_INFO": "/\xff\u1234"},
    ],
    ids=repr,
)
def test_no_type_in_an_environ_fails_a_request(collected, changed):
    environ = {**webob.Request.blank("/", headers=signed("B")).environ, **changed}
    middleware = web.WsgiMiddleware(lambda environ, start_response: [b"served"], "key", enabled=True)
    assert middleware(environ, lambda *args: None) == [b"served"]


def test_no_path_fails_a_request_object(collected):
    request = webob.Request.blank("/", headers=signed("B"))
    request.environ["PATH_INFO"] = "/\xff"
    middleware = web.WsgiMiddleware(lambda environ, start_response: application(environ, start_response), "key", True)
    assert middleware(request).text == "served"
    assert collected[0]["info"]["request"]["path"] == ""


def test_the_process_decides_over_a_middleware(collected):
    off = web.WsgiMiddleware(application, "key")
    get(off, signed("B"))
    assert not collected
    web.enable("global, other")
    get(off, signed("B", "key"))
    assert not collected
    get(off, signed("B", "global"))
    assert len(collected) == 4
    web.disable()
    get(web.WsgiMiddleware(application, "key", enabled=True), signed("B", "global"))
    assert len(collected) == 4


def forged(data):
    info = base64.urlsafe_b64encode(data if isinstance(data, bytes) else json.dumps(data).encode())
    return {"X-Trace-Info": info.decode(), "X-Trace-HMAC": _utils.generate_hmac(info, "key")}


HOSTILE = {
    "unsigned": {"X-Trace-Info": signed("B")["X-Trace-Info"]},
    "only a signature": {"X-Trace-HMAC": signed("B")["X-Trace-HMAC"]},
    "wrong key": signed("B", "wrong"),
    "upper case": {**signed("B"), "X-Trace-HMAC": signed("B")["X-Trace-HMAC"].upper()},
    "non-ASCII signature": {"X-Trace-Info": "x", "X-Trace-HMAC": "\xe9"},
    "non-ASCII info": {"X-Trace-Info": "\xe9", "X-Trace-HMAC": "x"},
    "ten megabytes": forged({"base_id": "B", "parent_id": "x" * 10_000_000}),
    "ten megabytes unsigned": {"X-Trace-Info": "A" * 10_000_000, "X-Trace-HMAC": "0" * 40},
    "ten megabytes of signature": {**signed("B"), "X-Trace-HMAC": "0" * 10_000_000},
    "no base64": {"X-Trace-Info": "A", "X-Trace-HMAC": _utils.generate_hmac("A", "key")},
    "no JSON": forged(b"\x00\xff"),
    "deep JSON": forged(b"[" * 5000),
    "a list": forged(["B"]),
    "no base id": forged({"parent_id": "P"}),
    "further member": forged({"base_id": "B", "x": 1}),
    "base id null": forged({"base_id": None}),
    "base id number": forged({"base_id": 1}),
    "base id dict": forged({"base_id": {"a": 1}}),
    "parent id list": forged({"base_id": "B", "parent_id": ["P"]}),
    "long base id": forged({"base_id": "x" * 256}),
    "lone surrogate": forged({"base_id": "\ud800"}),
    "more than 8 KiB": {name: value + " " * 8192 for name, value in signed("B").items()},
}


def test_headers_of_up_to_8_kib_are_followed(collected):
    headers = signed("B")
    # What is outside of its alphabet, base64 skips, and blanks round a signature are none of it.
    info = headers["X-Trace-Info"].ljust(8192)
    headers = {"X-Trace-Info": info, "X-Trace-HMAC": _utils.generate_hmac(info, "key").ljust(8192)}
    assert web.WsgiMiddleware(application, "key", True)._joined(info, headers["X-Trace-HMAC"])["base_id"] == "B"
    info += " "
    assert web.WsgiMiddleware(application, "key", True)._joined(info, _utils.generate_hmac(info, "key")) is None


@pytest.mark.parametrize("headers", HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers_are_served_untraced(collected, headers):
    """D-02, D-08."""
    middleware = web.WsgiMiddleware(application, "key", enabled=True)
    response = get(middleware, headers)
    assert (response.status_int, response.text, collected) == (200, "served", [])


def test_an_empty_base_id_begins_a_trace(collected):
    assert get(web.WsgiMiddleware(application, "key", enabled=True), forged({"base_id": ""})).status_int == 200
    assert len(collected) == 4
    assert len({n["base_id"] for n in collected} - {""}) == 1


def test_errors_pass_through_and_are_told(recording, base_id):
    def failing(environ, start_response):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        get(web.WsgiMiddleware(failing, "key", enabled=True), signed(base_id))
    assert profiler.get() is None
    (info,) = points(recording.report(base_id), "wsgi")
    assert (stop_info(info)["etype"], stop_info(info)["message"]) == ("ValueError", "broken")


@pytest.mark.parametrize("headers", [{}, signed("B")])
def test_a_raised_http_exception_is_an_answer(collected, headers):
    def absent(environ, start_response):
        raise webob.exc.HTTPNotFound("absent")

    assert get(web.WsgiMiddleware(absent, "key", enabled=True), headers).status_int == 404
    assert all("etype" not in n["info"] for n in collected)


class Streaming:
    """A body that makes points while it is sent."""

    def __init__(self, parts, fail_at=None):
        self.parts, self.fail_at, self.closed = parts, fail_at, 0

    def __call__(self, environ, start_response):
        start_response("200 OK", [])
        return self

    def __iter__(self):
        with profiler.Trace("body"):
            for number in range(self.parts):
                if number == self.fail_at:
                    raise ValueError("in the middle")
                with profiler.Trace("part"):
                    yield b"x"

    def close(self):
        self.closed += 1
        with profiler.Trace("close"):
            pass


def test_a_streaming_body_belongs_to_the_request(recording, base_id):
    """D-17."""
    streaming = Streaming(2)
    body = web.WsgiMiddleware(streaming, "key", enabled=True)(
        webob.Request.blank("/", headers=signed(base_id)).environ, lambda *args: None
    )
    for _ in body:
        assert profiler.get() is None
    body.close()
    assert streaming.closed == 1
    assert recording.tree(base_id) == drawn("""
        wsgi
          body
            part
            part
          close
    """)


def test_two_streaming_bodies_on_one_thread_do_not_mix(recording, base_id):
    bodies = [
        web.WsgiMiddleware(Streaming(2), "key", enabled=True)(
            webob.Request.blank("/", headers=signed(f"{base_id}-{number}")).environ, lambda *args: None
        )
        for number in range(2)
    ]
    for _ in zip(*bodies, strict=True):
        pass
    for body in bodies:
        body.close()
    for number in range(2):
        assert recording.tree(f"{base_id}-{number}").split("\n").count("    part") == 2


def test_a_body_that_fails_is_told(recording, base_id):
    middleware = web.WsgiMiddleware(Streaming(3, fail_at=1), "key", enabled=True)
    body = middleware(webob.Request.blank("/", headers=signed(base_id)).environ, lambda *args: None)
    with pytest.raises(ValueError, match="in the middle"):
        list(body)
    body.close()
    assert recording.tree(base_id) == drawn("""
        wsgi (ValueError)
          body (ValueError)
            part
          close
    """)


def test_a_body_left_early_ends_its_point(recording, base_id):
    middleware = web.WsgiMiddleware(Streaming(3), "key", enabled=True)
    body = middleware(webob.Request.blank("/", headers=signed(base_id)).environ, lambda *args: None)
    next(body)
    body.close()
    body.close()
    assert points(recording.report(base_id), "wsgi")[0]["exception"] == "None"
    assert profiler.get() is None


def test_a_streaming_body_of_a_request_object_belongs_to_the_request(recording, base_id):
    """D-17."""

    def streaming(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        return Streaming(2)

    response = web.WsgiMiddleware(streaming, "key", enabled=True)(webob.Request.blank("/", headers=signed(base_id)))
    assert profiler.get() is None
    assert response.content_length == 2
    assert (response.body, profiler.get()) == (b"xx", None)
    assert recording.tree(base_id) == drawn("""
        wsgi
          body
            part
            part
          close
    """)


def test_what_is_written_belongs_to_the_request(recording, base_id):
    """A real server that checks both sides of WSGI: `write`, a body of no parts, errors to the server's own stream."""

    def writing(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        with profiler.Trace("write"):
            write(b"written, ")
        return Streaming(2)

    middleware = web.WsgiMiddleware(wsgiref.validate.validator(writing), "key", enabled=True)
    server = wsgiref.simple_server.make_server(
        "127.0.0.1", 0, wsgiref.validate.validator(middleware), handler_class=Quiet
    )
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request("GET", "/a", headers=signed(base_id))
    assert connection.getresponse().read() == b"written, xx"
    connection.close()
    thread.join()
    server.server_close()
    assert recording.tree(base_id) == drawn("""
        wsgi
          write
          body
            part
            part
          close
    """)


class Quiet(wsgiref.simple_server.WSGIRequestHandler):
    """A handler that logs nothing."""

    def log_message(self, *args):
        pass


@pytest.mark.parametrize("body", [[b"x"], (b"x",), io.BytesIO(b"x")], ids=["list", "tuple", "file"])
def test_a_complete_body_reaches_the_server_as_it_is(collected, body):
    def complete(environ, start_response):
        start_response("200 OK", [])
        return body

    middleware = web.WsgiMiddleware(complete, "key", enabled=True)
    environ = webob.Request.blank("/", headers=signed("B")).environ
    assert middleware(environ, lambda *args: None) is body
    assert [n["name"] for n in collected] == ["wsgi-start", "wsgi-stop"]


def test_a_request_inside_an_open_point_joins_it(collected):
    profiler.init("key", "outer")
    with profiler.Trace("around"):
        get(web.WsgiMiddleware(application, "key", enabled=True), signed("B"))
        assert profiler.get().get_base_id() == "outer"
    assert {n["base_id"] for n in collected} == {"outer"}


def test_a_leftover_of_a_finished_request_is_replaced(collected):
    profiler.init("key", "finished")
    get(web.WsgiMiddleware(application, "key", enabled=True), signed("B"))
    assert {n["base_id"] for n in collected} == {"B"}
    assert profiler.get() is None


class Interruption(BaseException):
    """What ends a request from outside, like a timeout of eventlet."""


def by_wsgi(headers):
    environ = webob.Request.blank("/", headers=headers).environ
    web.WsgiMiddleware(lambda environ, start_response: [], "key", enabled=True)(environ, lambda *args: None)


def by_request(headers):
    get(web.WsgiMiddleware(application, "key", enabled=True), headers)


def by_asgi(headers):
    async def application(scope, receive, send):
        pass

    headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    served = asgi.AsgiMiddleware(application, "key", enabled=True)({"type": "http", "headers": headers}, None, None)
    with pytest.raises(StopIteration):
        served.send(None)


@pytest.mark.parametrize("serve", [by_wsgi, by_request, by_asgi])
@pytest.mark.parametrize("end", ["start", "stop"])
def test_an_interrupted_notifier_leaves_the_server_outside_of_the_trace(collected, serve, end):
    def notify(notification):
        if notification["name"] in (f"wsgi-{end}", f"asgi-{end}"):
            raise Interruption

    notifier.set(notify)
    with pytest.raises(Interruption):
        serve(signed("B"))
    assert _native.current_context() is None
