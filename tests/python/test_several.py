# SPDX-License-Identifier: Apache-2.0
"""Several stores in one connection string: all are written, the first that has what is asked for is read."""

import json
import logging
import os
import sqlite3
import subprocess

import pytest
from conftest import KEY, run_python
from osprofiler import _native, initializer, notifier, opts, profiler
from osprofiler.cmd import shell
from osprofiler.drivers import base, several


@pytest.fixture(autouse=True)
def forget():
    """No notifier of another test."""
    STORED.clear()
    notifier.clear_notifier_cache()
    yield
    notifier.clear_notifier_cache()
    notifier.set(notifier._noop_notifier)
    profiler.clean()


STORED = []


class Memory(base.Driver):
    """A driver made in Python, whose store is a list."""

    @classmethod
    def get_name(cls):
        return "memory"

    def notify(self, info, **kwargs):
        STORED.append(info)
        if info["base_id"] == "raise":
            raise RuntimeError("no")

    def get_report(self, base_id):
        names = [info["name"] for info in STORED if info["base_id"] == base_id]
        return {"info": {}, "stats": {}, "children": names}

    def list_traces(self, fields=None):
        return [{"base_id": info["base_id"], "timestamp": "t"} for info in STORED]


class WriteOnly(base.Driver):
    """A driver made in Python that can only write."""

    @classmethod
    def get_name(cls):
        return "writeonly"

    def notify(self, info, **kwargs):
        pass


def record(base_id):
    """Record a point in a trace of its own."""
    profiler.init(KEY, base_id)
    with profiler.Trace("x"):
        pass
    profiler.clean()
    assert _native.flush(60)["waiting"] == 0


def points(connection_string, base_id):
    """Return the names of a trace's points in a store."""
    return list(base.get_driver(connection_string).get_report(base_id)["stats"])


def test_a_store_that_is_written_only_is_not_asked(tmp_path, caplog):
    """It would know of no trace, where the other's failure is what counts."""
    driver = base.get_driver(f"otlp://127.0.0.1:1, file://{tmp_path}/gone")
    with pytest.raises(OSError, match="no such file"):
        driver.get_report("B")
    assert caplog.text.count("is passed over") == 1
    assert base.get_driver("otlp://127.0.0.1:1, otlp://127.0.0.1:2").list_traces() == []


def test_each_store_gets_everything(tmp_path):
    first, second, other = f"sqlite://{tmp_path}/a,b", f"file://{tmp_path}/second", f"file://{tmp_path}/other"
    notifier.set(notifier.create(f"{first}, {second}", project="p", service="several"))
    before = _native.counters()["recorded"]
    record("A")
    assert _native.counters()["recorded"] - before == 4
    # The same service, another set of stores.
    notifier.set(notifier.create(f"{second},{other}", project="p", service="several"))
    record("B")
    assert [points(store, "A") for store in (first, second)] == [["x"], ["x"]]
    assert [points(store, "B") for store in (second, other)] == [["x"], ["x"]]
    assert points(first, "B") == []


def test_a_service_names_several_in_its_configuration(tmp_path):
    from oslo_config import cfg

    path = tmp_path / "service.conf"
    stores = [f"file://{tmp_path}/a", f"sqlite://{tmp_path}/b"]
    path.write_text(f"[profiler]\nenabled = True\nconnection_string = {stores[0]},\n    {stores[1]}\n")
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf)
    conf(["--config-file", str(path)], project="several")
    initializer.init_from_conf(conf, project="p", service="configured")
    record("A")
    assert [points(store, "A") for store in stores] == [["x"], ["x"]]


@pytest.mark.parametrize(
    "bad", ["nope://u:s3cret@h", "jaeger://u:s3cret@h", "elasticsearch://u:s3cret,@h?nope=1", "x://:s3cret%ff@h"]
)
def test_one_that_names_no_store_is_told_and_the_others_work(tmp_path, caplog, bad):
    store = f"file://{tmp_path}/trace"
    for number, text in enumerate([f"{bad}, {store}", f"{store},{bad}"]):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            notifier.set(notifier.create(text, project="p", service="partly"))
            record(f"B{number}")
        told, info = [record for record in caplog.records if record.name.startswith("osprofiler")]
        assert (told.levelname, info.levelname) == ("ERROR", "INFO")
        assert told.getMessage().startswith("osprofiler sends nothing to `")
        assert ", one of several stores: " in told.getMessage()
        assert info.getMessage() == f"osprofiler sends to `{store}`"
        assert "s3cret" not in caplog.text
        assert points(store, f"B{number}") == ["x"]


def test_where_none_names_a_store_tracing_is_off(caplog):
    assert notifier.create("nope://u:s3cret@h, jaeger://h") is notifier._noop_notifier
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 3
    assert "osprofiler is off: no driver for the connection string `nope://u:***@h, jaeger://h`" in caplog.text
    assert "s3cret" not in caplog.text


def test_the_first_store_that_has_the_trace_is_read(tmp_path, caplog):
    first, second, gone = f"file://{tmp_path}/first", f"sqlite://{tmp_path}/second", f"file://{tmp_path}/gone"
    for base_id, store in [("A", first), ("B", second)]:
        notifier.set(notifier.create(store, project="p", service="single"))
        record(base_id)
    driver = base.get_driver(f"{gone}, writeonly://, {first}, {second}")
    assert isinstance(driver, several.Stores)
    for base_id in "AB":
        assert list(driver.get_report(base_id)["stats"]) == ["x"]
    assert driver.get_report("C")["children"] == []
    assert [trace["base_id"] for trace in driver.list_traces()] == ["A"]
    assert driver.list_error_traces() == []
    assert caplog.text.count(f"`{gone}` is passed over: cannot read `{tmp_path}/gone`: no such file") == 5
    assert caplog.text.count("is passed over") == 5


def test_what_cannot_be_read_at_all_says_why(tmp_path):
    with pytest.raises(OSError, match="no such file"):
        base.get_driver(f"file://{tmp_path}/a, file://{tmp_path}/b").get_report("A")
    with pytest.raises(NotImplementedError):
        base.get_driver("writeonly://, writeonly://").list_traces()


@pytest.mark.parametrize("order", ["memory://, {}", "{}, memory://"])
def test_a_driver_made_in_python_stands_beside_ours(tmp_path, order):
    store = f"sqlite://{tmp_path}/trace"
    notifier.set(notifier.create(order.format(store), project="p", service="mixed"))
    record("A")
    assert [info["name"] for info in STORED] == ["x-start", "x-stop"]
    assert points(store, "A") == ["x"]
    # What one raises is neither the other's nor the request's.
    record("raise")
    assert points(store, "raise") == ["x"]


def test_drivers_made_in_python_alone():
    notifier.set(notifier.create("memory://, memory://"))
    record("A")
    assert [info["name"] for info in STORED] == ["x-start", "x-start", "x-stop", "x-stop"]


def test_the_command_reads_the_first_of_several(tmp_path, capfd):
    store = f"sqlite://{tmp_path}/trace"
    notifier.set(notifier.create(store, project="p", service="command"))
    record("A")
    arguments = ["--connection-string", f"file://{tmp_path}/gone, {store}"]
    assert shell.main(["trace", "show", "--json", "A", *arguments]) is None
    out, err = capfd.readouterr()
    assert list(json.loads(out)["stats"]) == ["x"]
    passed_over = f"warning: one of the stores is passed over: cannot read `{tmp_path}/gone`: no such file\n"
    assert err.startswith(passed_over + "help: ")
    done = subprocess.run(
        [os.environ["OSPROFILER_BIN"], "trace", "list", *arguments], capture_output=True, text=True, check=True
    )
    assert "| A " in done.stdout


def test_the_command_asks_a_driver_made_in_python_among_several(tmp_path, capsys):
    STORED.append({"name": "x-start", "base_id": "A"})
    arguments = ["--connection-string", f"file://{tmp_path}/gone, memory://"]
    assert shell.main(["trace", "list", *arguments]) is None
    assert "| A       | t         |" in capsys.readouterr().out


HANGING = """
    import sys
    from osprofiler import _native, notifier, profiler
    notifier.set(notifier.create(sys.argv[1], project="p", service="s"))
    profiler.init("key", "B")
    for _ in range(100):
        with profiler.Trace("x"):
            pass
    profiler.clean()
    while (counters := _native.flush(0.2))["stored"] < 200:
        pass
    print(counters["stored"], counters["waiting"])
"""


def test_a_store_that_hangs_costs_the_other_nothing(tmp_path):
    """A writer who keeps the store's lock; the store waits for less than the flush does."""
    locked = f"sqlite://{tmp_path}/locked?busy_timeout=0.01"
    base.get_driver(locked, project="p", service="hanging").notify(
        {"name": "x-start", "base_id": "A", "trace_id": "A", "parent_id": "A"}
    )
    assert _native.flush(60)["waiting"] == 0
    other = sqlite3.connect(tmp_path / "locked", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    done = run_python(HANGING, f"{locked}, file://{tmp_path}/free")
    other.rollback()
    assert done.returncode == 0
    assert done.stdout.strip() == "200 200", done.stderr
    assert points(f"file://{tmp_path}/free", "B") == ["x"]
