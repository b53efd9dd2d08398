# SPDX-License-Identifier: Apache-2.0
"""Secrets in infos: masked in stores and for notifiers made in Python, at least what oslo.utils masks in logs."""

import sys
import types
from pathlib import Path
from unittest import mock

import pytest
from conftest import KEY, points, run_python, start_info, stop_info
from oslo_utils import strutils
from osprofiler import profiler
from osprofiler.drivers import base

LINES = (Path(__file__).parents[2] / "fixtures" / "secrets.txt").read_text().splitlines()
TEXTS = [line for line in LINES if line and not line.startswith("#")]
PAIRS = list(zip(TEXTS[::2], TEXTS[1::2], strict=True))


def passed(collected, **info):
    """Return what a notifier made in Python is given of an info."""
    with profiler.Trace("x", info=info):
        pass
    given = dict(collected[-2]["info"])
    del given["host"]
    return given


@pytest.fixture
def traced(collected, base_id):
    """Return the notifications made, inside a trace."""
    profiler.init(KEY, base_id)
    return collected


@pytest.mark.parametrize(("text", "expected"), PAIRS, ids=[text for text, _ in PAIRS])
def test_a_text_is_masked_as_by_oslo_or_better(traced, text, expected):
    sign, masked = expected[1], expected[3:]
    assert passed(traced, text=text) == {"text": masked}
    assert (strutils.mask_password(text) == masked) is (sign == "=")


def test_stores_and_notifiers_get_the_same(recording, base_id):
    profiler.init(KEY, base_id)
    with profiler.Trace("x", info={"texts": [text for text, _ in PAIRS]}):
        pass
    (info,) = points(recording.report(base_id), "x")
    assert start_info(info)["texts"] == [expected[3:] for _, expected in PAIRS]


@pytest.mark.parametrize("name", strutils._SANITIZE_KEYS)
def test_each_name_that_oslo_masks_is_masked(traced, name):
    info = {f"x_{name.upper()}_1": "hunter2", "text": f"{name} = 'hunter2'", "list": [{name: ("hunter2",)}]}
    assert passed(traced, **info) == {f"x_{name.upper()}_1": "***", "text": f"{name} = '***'", "list": [{name: "***"}]}
    assert strutils.mask_dict_password({name: "hunter2"}) == {name: "***"}


def test_what_the_program_keeps_is_not_changed(traced):
    kept = {"a": {"b": [{"token": "hunter2"}, ("password=hunter2", 1)], "c": object()}}
    kept["a"]["self"] = kept["a"]
    given = passed(traced, **kept)
    assert given["a"]["b"] == [{"token": "***"}, ("password=***", 1)]
    assert given["a"]["c"] is kept["a"]["c"]
    assert kept["a"]["b"] == [{"token": "hunter2"}, ("password=hunter2", 1)]
    untouched = {"a": [1], "b": {"c": "d"}}
    assert passed(traced, **untouched)["a"] is untouched["a"]


class Server:
    """What Nova does with the password of a new server."""

    def __repr__(self):
        return "<Server admin_password='hunter2'>"

    @profiler.trace("rpc", hide_result=False)
    def change_password(self, context, admin_password, **kwargs):
        if kwargs.get("fail"):
            raise ValueError(f"cannot log in with password: {admin_password}")
        return {"auth_token": admin_password, "id": 1}


def test_arguments_results_messages_and_parameters_lose_theirs(recording, base_id):
    profiler.init(KEY, base_id)
    server = Server()
    server.change_password("c", admin_password="hunter2", headers={"X-Auth-Token": "hunter2"})
    with pytest.raises(ValueError, match="hunter2"):
        server.change_password("c", admin_password="hunter2", fail=True)
    profiler.start(
        "db", info={"db": {"statement": "UPDATE password SET hash = :h", "params": {"password_hash": "hunter2"}}}
    )
    profiler.stop()
    report = recording.report(base_id)
    assert "hunter2" not in str(report)
    fine, failed = points(report, "rpc")
    assert start_info(fine)["function"] == {
        "name": "test_secrets.Server.change_password",
        "args": "(<Server admin_password='***'>, 'c')",
        "kwargs": "{'admin_password': '***', 'headers': {'X-Auth-Token': '***'}}",
    }
    assert stop_info(fine)["function"]["result"] == "{'auth_token': '***', 'id': 1}"
    assert stop_info(failed)["message"] == "cannot log in with password: ***"
    (statement,) = points(report, "db")
    assert start_info(statement)["db"] == {
        "statement": "UPDATE password SET hash = :h",
        "params": {"password_hash": "***"},
    }


def test_a_bus_other_than_rabbitmq_gets_none(monkeypatch):
    """Its messages are sent by the library, one at a time; objects and bytes are texts there, too."""
    sent = []
    sender = types.SimpleNamespace(info=lambda context, event_type, payload: sent.append(payload))
    library = types.SimpleNamespace(get_notification_transport=mock.Mock(), Notifier=lambda *_, **__: sender)
    monkeypatch.setitem(sys.modules, "oslo_messaging", library)
    driver = base.get_driver("messaging://", transport_url="fake://", project="nova", service="api", host="ctl")
    info = {
        "object": Server(),
        "bytes": b'{"password": "hunter2", "id": 1}',
        "list": [{"token": b"hunter2"}, {Server()}],
        "plain": "x",
    }
    driver.notify({"name": "x-start", "base_id": "B", "trace_id": "T", "parent_id": "B", "info": info})
    assert [payload["info"] for payload in sent] == [
        {
            "object": "<Server admin_password='***'>",
            "bytes": '{"password": "***", "id": 1}',
            "list": [{"token": "***"}, ["<Server admin_password='***'>"]],
            "plain": "x",
        }
    ]


SWITCHED = """
    import json, sys
    from oslo_config import cfg
    from osprofiler import _native, initializer, opts, profiler
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf, enabled=True, hmac_keys="key", connection_string=sys.argv[1])
    with open(sys.argv[1].removeprefix("file://") + ".conf", "w") as file:
        file.write("[profiler]\\nmask_secrets = " + sys.argv[2])
    conf(["--config-file", file.name])
    initializer.init_from_conf(conf, project="p", service="s")
    profiler.init("key", "B")
    with profiler.Trace("x", info={"password": "hunter2"}):
        pass
    assert _native.flush(60)["waiting"] == 0
    print(json.loads(open(sys.argv[1].removeprefix("file://")).readline())["info"]["password"])
"""


@pytest.mark.parametrize(("option", "stored"), [("True", "***"), ("False", "hunter2")])
def test_the_option_decides(tmp_path, option, stored):
    ended = run_python(SWITCHED, f"file://{tmp_path}/trace", option)
    assert (ended.stdout, ended.returncode) == (stored + "\n", 0), ended.stderr
