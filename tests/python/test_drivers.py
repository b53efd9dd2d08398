# SPDX-License-Identifier: Apache-2.0
"""Drivers by upstream's names, one that is gone, and the command over drivers that are made in Python."""

import importlib
import json
import subprocess
from types import SimpleNamespace

import pytest
from osprofiler import _native, exc, notifier, profiler
from osprofiler import drivers as package
from osprofiler.cmd import shell
from osprofiler.drivers import base, store

# Scheme, module, class, name; and whether upstream's constructor can fail.
NAMES = [
    ("redis", "redis_driver", "Redis", "redis"),
    ("rediss", "redis_driver", "Redis", "redis"),
    ("redissentinel", "redis_driver", "RedisSentinel", "redissentinel"),
    ("mongodb", "mongodb", "MongoDB", "mongodb"),
    ("mongodb+srv", "mongodb", "MongoDB", "mongodb"),
    ("elasticsearch", "elasticsearch_driver", "ElasticsearchDriver", "elasticsearch"),
    ("mysql", "sqlalchemy_driver", "SQLAlchemyDriver", "sqlalchemy"),
    ("mysql+pymysql", "sqlalchemy_driver", "SQLAlchemyDriver", "sqlalchemy"),
    ("mariadb+pymysql", "sqlalchemy_driver", "SQLAlchemyDriver", "sqlalchemy"),
    ("postgresql+psycopg2", "sqlalchemy_driver", "SQLAlchemyDriver", "sqlalchemy"),
    ("otlp", "otlp", "OTLP", "otlp"),
    ("messaging", "messaging", "Messaging", "messaging"),
    ("jaeger", "jaeger", "Jaeger", "jaeger"),
    ("loginsight", "loginsight", "LogInsightDriver", "loginsight"),
    ("sqlite", "store", "StoreDriver", "store"),
    ("FILE", "store", "StoreDriver", "store"),
]


@pytest.mark.parametrize(("scheme", "module", "class_name", "name"), NAMES)
def test_a_scheme_has_the_class_of_upstreams_name(scheme, module, class_name, name):
    driver = base.driver_class(f"{scheme}://")
    assert driver is getattr(importlib.import_module(f"osprofiler.drivers.{module}"), class_name)
    assert getattr(package, module).__name__ == f"osprofiler.drivers.{module}"
    assert driver.get_name() == name


def test_a_store_that_is_written_only_has_no_traces():
    """As upstream's driver says."""
    conf = SimpleNamespace(profiler_otlp=SimpleNamespace(service_name_prefix="a b"))
    driver = base.get_driver("otlp://h:4318", project="p", service="s", host="h", conf=conf)
    assert driver._native_string() == "otlp://h:4318?service_name_prefix=a%20b"
    assert driver._get_service_name(conf, "p", "s") == "a b-p-s"
    info = {"name": "total", "started": 0, "finished": None, "last_trace_started": None}
    assert driver.get_report("B") == {"info": info, "children": [], "stats": {}}
    assert (driver.list_traces(["info"]), driver.list_error_traces()) == ([], [])
    own = base.get_driver("otlp://h?service_name_prefix=x", conf=conf)
    assert own._native_string() == "otlp://h?service_name_prefix=x"


@pytest.mark.parametrize(
    ("connection_string", "error", "message"),
    [
        ("jaeger://h", exc.CommandError, "Jaeger takes OTLP itself"),
        ("loginsight://user:password@h?a=b", ValueError, "no option `a`"),
        ("loginsight://user@h", ValueError, "loginsight://USER:PASSWORD@HOST"),
        ("nope://h", ValueError, "no driver for the scheme `nope://`"),
        ("file:///x?a=b", ValueError, "no option `a`"),
        ("messaging://h:port", ValueError, "port is no number"),
    ],
)
def test_a_driver_that_cannot_be_made_says_why(connection_string, error, message):
    with pytest.raises(error, match=message):
        base.get_driver(connection_string)


def test_create_makes_one_line_of_a_driver_that_is_gone(caplog):
    notifier.clear_notifier_cache()
    assert notifier.create("jaeger://u:s3cret@h", project="p") is notifier._noop_notifier
    (record,) = [record for record in caplog.records if record.name.startswith("osprofiler")]
    assert record.levelname == "ERROR"
    assert "Jaeger takes OTLP itself" in record.getMessage()
    assert record.exc_info is None
    assert "s3cret" not in caplog.text


def test_traces_are_listed_and_shown_as_horizon_does(recording, base_id):
    """A list of fields, one of them within another; then the tree of a trace."""
    profiler.init("key", base_id)
    with profiler.Trace("wsgi", info={"request": {"path": "/servers", "method": "GET"}}), profiler.Trace("db"):
        pass
    assert _native.flush(60)["waiting"] == 0
    fields = ["base_id", "timestamp", "info.request.path", "info"]
    driver = base.get_driver(recording.connection_string)
    (trace,) = [trace for trace in driver.list_traces(fields) if trace["base_id"] == base_id]
    assert set(trace) == {"base_id", "timestamp", "info"}
    assert trace["info"]["request"] == {"path": "/servers", "method": "GET"}
    report = driver.get_report(trace["base_id"])
    (top,) = report["children"]
    assert (top["info"]["name"], [node["info"]["name"] for node in top["children"]]) == ("wsgi", ["db"])
    assert {"started", "finished"} <= set(top["info"])
    assert driver.get_report(base_id) == report


class Remembered(base.Driver):
    """A driver made in Python, with one trace."""

    @classmethod
    def get_name(cls):
        return "remembered"

    def get_report(self, base_id):
        for end, second in (("start", 1), ("stop", 3)) if base_id == "B" else ():
            timestamp = f"2026-01-01T00:00:0{second}.000000"
            event = {"name": f"$LOCAL-{end}", "base_id": "B", "trace_id": "1", "parent_id": "B", "timestamp": timestamp}
            event |= {"info": {"host": "h", "data": "$DATA"}, "project": "p", "service": "s"}
            self._append_results("1", "B", event["name"], "p", "s", "h", timestamp, event)
        return self._parse_results()

    def list_traces(self, fields=None):
        return [{"base_id": "B", "timestamp": "2026-01-01T00:00:01.000000"}]

    def list_error_traces(self):
        return []


STORE = ["--connection-string", "remembered://"]


def test_the_command_asks_a_driver_made_in_python(capsys, monkeypatch, tmp_path):
    report = Remembered("remembered://").get_report("B")
    assert shell.main(["trace", "show", "B", "--json", *STORE]) is None
    assert capsys.readouterr().out == json.dumps(report, indent=2, separators=(",", ": ")) + "\n"
    monkeypatch.setenv("OSPROFILER_CONNECTION_STRING", "remembered://")
    assert shell.main(["trace", "show", "B", "--html", "--out", str(tmp_path / "page.html")]) is None
    page = (tmp_path / "page.html").read_text()
    assert page.rstrip().endswith('<plaintext id="data" hidden>' + json.dumps(report, indent=4, separators=(",", ": ")))
    assert page.count("$LOCAL") == json.dumps(report).count("$LOCAL")
    assert shell.main(["trace", "show", "B", "--dot"]) is None
    assert capsys.readouterr().out.startswith(
        'digraph {\n\t0 [label="total - 2000 ms"]\n\t1 [label="s:$LOCAL - 2000 ms"]'
    )
    assert shell.main(["trace", "list"]) is None
    line = "+---------+----------------------------+"
    head, row = "| base_id | timestamp                  |", "| B       | 2026-01-01T00:00:01.000000 |"
    assert capsys.readouterr().out.splitlines() == [line, head, line, row, line]
    assert shell.main(["trace", "list", "--error-trace"]) is None
    assert capsys.readouterr().out.count("\n") == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trace", "show", "B"], "You should choose one of the following output formats: json, html or dot."),
        (
            ["trace", "show", "A", "--json"],
            "Trace with UUID A not found. Please check the HMAC key used in the command.",
        ),
    ],
)
def test_the_command_says_what_a_driver_made_in_python_has_not(capsys, arguments, told):
    assert shell.main([*arguments, *STORE]) == 1
    assert capsys.readouterr().out == told + "\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["trace", "show", "--nonsense", "B", "--connection-string", "remembered://"],
        ["trace", "show", "--connection-string", "remembered://"],
        ["trace", "show", "--help"],
        ["trace", "list", "--connection-string", "nope://"],
    ],
)
def test_what_is_wrong_with_a_command_line_is_said_by_the_native_command(capfd, arguments):
    program = shell.sys.executable.replace("python", "osprofiler")
    ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert shell.main(arguments) == (ran.returncode or None)
    assert tuple(capfd.readouterr()) == (ran.stdout, ran.stderr)


def test_drivers_of_others_go_before_ours():
    class Own(store.StoreDriver):
        @classmethod
        def get_name(cls):
            return "redis"

        def _check(self):
            pass

    try:
        assert type(base.get_driver("redis://h")) is Own
    finally:
        Own.get_name = classmethod(lambda cls: "gone")
