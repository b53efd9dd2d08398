# SPDX-License-Identifier: Apache-2.0
"""The headers of outgoing requests: signed while the request is out, and the caller's own before and after."""

import collections
import collections.abc
import types

import pytest
from osprofiler import _outgoing, profiler, urllib3


@pytest.fixture
def tracing(collected):
    """Return what is told in a trace with a key: what is sent is signed."""
    profiler.init("key", "B")
    return collected


OWN = [{}, {"Accept": "x"}, {"x-trace-info": "the caller's", "X-Trace-HMAC": "of another trace"}]


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize(
    "end",
    [lambda point: _outgoing.close_point(point, 200), lambda point: _outgoing.fail_point(point, ValueError())],
    ids=["answered", "failed"],
)
def test_a_request_gets_its_headers_back(tracing, own, end):
    headers = dict(own)
    point = _outgoing.open_point("GET", "http://h/", headers)
    sent = {name.lower(): value for name, value in headers.items()}
    assert sent["x-trace-info"] not in ("", "the caller's")
    assert sent["x-trace-hmac"] != "of another trace"
    end(point)
    assert headers == own
    assert [n["name"] for n in tracing] == ["http-start", "http-stop"]


class Broken(collections.UserDict):
    """Headers that cannot be copied."""

    def copy(self):
        raise RuntimeError("not today")


class Bare(collections.abc.Mapping):
    """Headers without a method to copy them."""

    def __getitem__(self, name):
        return {"a": "b"}[name]

    def __iter__(self):
        return iter("a")

    def __len__(self):
        return 1


@pytest.mark.parametrize(
    ("headers", "is_signed"),
    [(None, True), ({"a": "b"}, True), (Bare(), True), (Broken(a="b"), False)],
)
def test_any_headers_of_urllib3_go_out(tracing, monkeypatch, headers, is_signed):
    pool = types.SimpleNamespace(host="h", port=80, scheme="http")
    monkeypatch.setattr(urllib3, "_enabled", True)
    sent = {}

    def send(pool, conn, method, url, headers=None):
        sent.update(headers or {})
        return types.SimpleNamespace(status=204)

    monkeypatch.setattr(urllib3, "_FUNC", send)
    assert urllib3._make_request(pool, None, "GET", "/", headers=headers).status == 204
    assert ("X-Trace-Info" in sent) == is_signed
    assert {name: sent[name] for name in headers or ()} == dict(headers or {})
    assert [n["name"] for n in tracing] == ["http-start", "http-stop"]
