# SPDX-License-Identifier: Apache-2.0
"""The signed headers as other versions of this package send and receive them."""

import base64
import json

import pytest
from osprofiler import _native, _utils, profiler, web

VECTOR = ("eyJiYXNlX2lkIjogIkIiLCAicGFyZW50X2lkIjogIlAifQ==", "29c0126c0299bb9ee23595ce55cb5bebf8432f20")


@pytest.fixture
def trace():
    """Return a trace whose ids are known, in this context."""
    profiler.clean()
    yield profiler.init("key", "B", "P")
    profiler.clean()


def test_the_vector_goes_out(trace):
    assert web.get_trace_id_headers() == {"X-Trace-Info": VECTOR[0], "X-Trace-HMAC": VECTOR[1]}


def test_the_vector_comes_in():
    assert _native.unpack_headers(*VECTOR, ["other", "key"]) == {"hmac_key": "key", "base_id": "B", "parent_id": "P"}
    assert _utils.signed_unpack(*VECTOR, ["other", "key"]) == {"hmac_key": "key", "base_id": "B", "parent_id": "P"}


def test_headers_name_the_innermost_point_as_parent(trace):
    profiler.start("outer")
    sent = json.loads(base64.urlsafe_b64decode(web.get_trace_id_headers()["X-Trace-Info"]))
    assert sent == {"base_id": "B", "parent_id": trace.get_id()}
    assert sent["parent_id"] != "P"


@pytest.mark.parametrize("key", ["", None])
def test_there_are_no_headers_without_a_key(key):
    profiler.clean()
    profiler.init(key, "B", "P")
    assert web.get_trace_id_headers() == {}
    profiler.clean()
    assert web.get_trace_id_headers() == {}


@pytest.mark.parametrize(
    ("key", "base_id", "parent_id"),
    [(7, "B", "P"), (object(), "B", "P"), ("key", object(), "P"), ("key", "B", {object()}), ("\ud800", "B", "P")],
    ids=["number", "object", "base id", "parent id", "surrogate"],
)
def test_what_no_header_can_carry_gives_none(key, base_id, parent_id):
    profiler.clean()
    profiler.init(key, base_id, parent_id)
    assert web.get_trace_id_headers() == {}
    profiler.clean()


def test_signed_pack_and_unpack():
    assert _utils.signed_pack({"a": 1}, None) == (b"eyJhIjogMX0=", None)
    assert _utils.signed_pack({"a": 1}, "") == (b"eyJhIjogMX0=", None)
    packed, hmac = _utils.signed_pack({"a": 1}, "key")
    assert _utils.signed_unpack(packed, hmac, ["key"]) == {"a": 1, "hmac_key": "key"}
    assert _utils.signed_unpack(packed, f" {hmac}\n", ["key"]) == {"a": 1, "hmac_key": "key"}
    assert _utils.signed_unpack(packed, hmac, []) is None
    assert _utils.signed_unpack(packed, "é", ["key"]) is None
    assert _utils.signed_unpack(packed, hmac, ["other"]) is None


@pytest.mark.parametrize(
    ("info", "hmac"),
    [
        (None, VECTOR[1]),
        (VECTOR[0], None),
        (7, VECTOR[1]),
        (VECTOR[0], "\xe9"),
        ("\udce9", VECTOR[1]),
        (VECTOR[0], VECTOR[1].upper()),
    ],
)
def test_what_is_no_header_is_refused_without_an_exception(info, hmac):
    assert _native.unpack_headers(info, hmac, ["key"]) is None


@pytest.mark.parametrize(
    ("given", "short", "whole"),
    [
        ("4e3e0ec6-2938-40b1-8504-09eb1d4b0dee", 0x850409EB1D4B0DEE, 0x4E3E0EC6293840B1850409EB1D4B0DEE),
        ("{4E3E0EC6293840B1850409EB1D4B0DEE}", 0x850409EB1D4B0DEE, 0x4E3E0EC6293840B1850409EB1D4B0DEE),
        (42, 42, 42),
        (-1, 2**64 - 1, -1),
    ],
)
def test_ids_are_shortened(given, short, whole):
    assert _utils.shorten_id(given) == short
    assert _utils.uuid_to_int128(given) == whole
    assert profiler._Profiler("key").get_shorten_id(given) == f"{short:x}"


def test_what_is_no_uuid_gets_a_random_short_id():
    assert _utils.shorten_id("no uuid") != _utils.shorten_id("no uuid")
