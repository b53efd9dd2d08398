# SPDX-License-Identifier: Apache-2.0
"""Where notifications go: stores, callables, drivers made in Python; and what is said when they cannot."""

import json
import logging

import pytest
from conftest import KEY, run_python
from oslo_config import cfg
from osprofiler import _native, initializer, notifier, opts, profiler, web
from osprofiler.drivers import base


@pytest.fixture(autouse=True)
def forget():
    """No notifier of another test."""
    notifier.clear_notifier_cache()
    yield
    notifier.clear_notifier_cache()
    notifier.set(notifier._noop_notifier)
    profiler.clean()


class Listing(base.Driver):
    """A driver made in Python."""

    stored = ()

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.stored = []

    @classmethod
    def get_name(cls):
        return "listing"

    def notify(self, info, **kwargs):
        self.stored.append({**info, "project": self.project, "service": self.service})

    def get_report(self, base_id):
        for stored in self.stored:
            self._append_results(
                stored["trace_id"],
                stored["parent_id"],
                stored["name"],
                stored["project"],
                stored["service"],
                stored["info"]["host"],
                stored["timestamp"],
                stored,
            )
        return self._parse_results()


def test_a_driver_made_in_python(store):
    driver = base.get_driver("listing://anything?a=b", project="p", service="s", host="h", conf=cfg.ConfigOpts())
    assert isinstance(driver, Listing)
    assert driver.filter_error_trace is False
    notifier.set(driver.notify)
    profiler.init(KEY, "B")
    with profiler.Trace("vif-driver"), profiler.Trace("inner"):
        pass
    first, second = driver.get_report("B"), driver.get_report("B")
    assert first == second
    assert first["children"][0]["info"]["name"] == "vif-driver"
    assert first["stats"]["inner"]["count"] == 1
    with pytest.raises(NotImplementedError, match="listing"):
        driver.list_traces()


def test_reports_of_drivers_made_in_python_show_cycles():
    """D-30."""
    nodes = {
        key: {"trace_id": key, "parent_id": parent, "info": {"started": started}}
        for key, parent, started in [("a", "b", 3), ("b", "a", 2), ("c", "b", 1), ("self", "self", 0)]
    }

    def shape(tree):
        return [(node["trace_id"], shape(node["children"])) for node in tree]

    assert shape(base.Driver._build_tree(nodes)) == [("self", []), ("a", [("b", [("c", [])])])]


def test_get_and_set_keep_the_callable():
    def mine(info):
        pass

    notifier.set(mine)
    assert notifier.get() is mine
    notifier.set(notifier._noop_notifier)
    assert notifier.get() is notifier._noop_notifier


def test_equal_arguments_give_the_same_notifier(tmp_path):
    """D-16."""
    connection_string = f"file://{tmp_path}/trace"
    first = notifier.create(connection_string, context={}, project="p", service="api", host="h")
    assert notifier.create(connection_string, context={}, project="p", service="api", host="h") == first
    other = notifier.create(connection_string, context={}, project="p", service="scheduler", host="h")
    assert (first.__self__.service, other.__self__.service) == ("api", "scheduler")


@pytest.mark.parametrize(
    "connection_string",
    ["nope://", "nope", "", "loginsight://u:s3cret@h?a=b", "jaeger://h", "redis://:s3cret@h?nope=1"],
)
def test_a_driver_that_cannot_be_is_told_and_tried_again(caplog, connection_string):
    with caplog.at_level(logging.INFO):
        assert notifier.create(connection_string) is notifier._noop_notifier
    assert notifier.create(connection_string) is notifier._noop_notifier
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize("connection_string", ["sqlite:", "sqlite:/", ""])
def test_the_advice_for_a_mistyped_store_is_left_whole(caplog, connection_string):
    notifier.create(connection_string)
    assert f"`{connection_string}`" in caplog.text
    assert "`sqlite:///var/lib/osprofiler/traces.db`" in caplog.text


def test_passwords_stay_out_of_the_log(caplog):
    """D-18."""

    class Secretive(base.Driver):
        @classmethod
        def get_name(cls):
            return "secretive"

        def __init__(self, connection_str, *args, fail=False, **kwargs):
            super().__init__(connection_str)
            if fail:
                raise RuntimeError(f"cannot connect to {connection_str} with s3cret@x, s3cret%40x or hunter2")

        def notify(self, info):
            pass

    with caplog.at_level(logging.DEBUG):
        notifier.create("secretive://user:s3cret%40x@h/db?auth_token=hunter2")
        notifier.create("secretive://user:s3cret%40x@h/db?auth_token=hunter2", fail=True)
    assert "secretive://user:***@h/db?auth_token=***" in caplog.text
    assert "with ***, *** or ***" in caplog.text
    assert "s3cret" not in caplog.text


def test_unknown_schemes_list_the_known_ones():
    with pytest.raises(ValueError, match="sqlite"):
        base.get_driver("nope://h")


def conf_of(connection_string, **options):
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf, connection_string=connection_string, hmac_keys="key", **options)
    conf([])
    return conf


@pytest.mark.parametrize("context", [{"context": {}}, {"contex": {}}])
def test_a_service_initialises_from_its_configuration(tmp_path, monkeypatch, context):
    monkeypatch.setattr(web, "_ENABLED", None)
    monkeypatch.setattr(web, "_HMAC_KEYS", None)
    conf = conf_of(f"file://{tmp_path}/trace")
    service = "init-" + next(iter(context))
    initializer.init_from_conf(conf=conf, project="cinder", service=service, host="h", **context)
    assert (web._ENABLED, web._HMAC_KEYS) == (True, ["key"])
    profiler.init("key", "B")
    with profiler.Trace("x"):
        pass
    assert _native.flush(60)["waiting"] == 0
    lines = [json.loads(line) for line in (tmp_path / "trace").read_text().splitlines()]
    assert [(line["name"], line["project"], line["service"]) for line in lines] == [
        ("x-start", "cinder", service),
        ("x-stop", "cinder", service),
    ]


def test_options_have_their_defaults_and_their_own_groups():
    """D-19, D-46."""
    first, second = cfg.ConfigOpts(), cfg.ConfigOpts()
    opts.set_defaults(first, enabled=True, hmac_keys="a")
    opts.set_defaults(second)
    first([])
    second([])
    assert (first.profiler.enabled, second.profiler.enabled) == (True, False)
    assert (second.profiler.hmac_keys, second.profiler.connection_string) == ("SECRET_KEY", "messaging://")
    assert second.profiler_otlp.service_name_prefix is None
    assert (opts.is_trace_enabled(first), opts.is_db_trace_enabled(first)) == (True, False)
    assert opts.is_trace_enabled(second) is False
    assert [(name, len(options)) for name, options in opts.list_opts()] == [
        ("profiler", 16),
        ("profiler_jaeger", 2),
        ("profiler_otlp", 1),
    ]


def test_ready_made_notifications_are_stored(store, base_id):
    store.driver.notify(
        {
            "name": "x-start",
            "base_id": base_id,
            "trace_id": "1",
            "parent_id": base_id,
            "timestamp": "2026-01-01T00:00:00.000001",
            "info": {"host": "elsewhere", "a": b"\xff"},
        }
    )
    assert store.tree(base_id) == "x (never ended)"
    (node,) = store.report(base_id)["children"]
    assert node["info"]["host"] == "elsewhere"
    assert node["info"]["meta.raw_payload.x-start"]["timestamp"] == "2026-01-01T00:00:00.000001"


def test_traces_are_listed_with_the_fields_asked_for(recording, base_id):
    profiler.init(KEY, base_id)
    with pytest.raises(ValueError, match=r"^$"), profiler.Trace("wsgi", info={"request": {"path": "/a"}}):
        raise ValueError
    assert _native.flush(60)["waiting"] == 0
    (plain,) = [trace for trace in recording.driver.list_traces() if trace["base_id"] == base_id]
    assert set(plain) == {"base_id", "timestamp"}
    fields = ["base_id", "timestamp", "name", "info.request.path", "absent", "name.absent"]
    (rich,) = [trace for trace in recording.driver.list_traces(fields) if trace["base_id"] == base_id]
    assert rich == {**plain, "name": "wsgi-start", "info": {"request": {"path": "/a"}}}
    assert base_id in [trace["base_id"] for trace in recording.driver.list_error_traces()]


def test_an_unknown_trace_has_an_empty_report(store):
    assert store.report("unknown") == {
        "info": {"name": "total", "started": 0, "finished": None, "last_trace_started": None},
        "children": [],
        "stats": {},
    }


UNWRITABLE = """
    import logging, sys
    from osprofiler import _native, notifier, profiler
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    told = []
    reader = logging.Handler(logging.WARNING)
    reader.emit = told.append
    logging.getLogger("osprofiler").addHandler(reader)
    notifier.set(notifier.create(sys.argv[1], project="p", service="s"))
    profiler.init("key", "B")
    for _ in range(3):
        with profiler.Trace("x"):
            pass
        counters = _native.flush(0.5)
        while not told:
            _native.log_messages()
    with profiler.Trace("last"):
        print("served")
    print(_native.flush(0.5))
"""


@pytest.mark.parametrize("scheme", ["sqlite", "file"])
def test_a_store_that_cannot_be_opened_is_told_and_harms_nothing(tmp_path, scheme):
    (tmp_path / "file").write_text("not a folder")
    ended = run_python(UNWRITABLE, f"{scheme}://{tmp_path}/file/trace")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("served\n")
    told = [line for line in ended.stderr.splitlines() if " osprofiler " in line and not line.startswith("INFO")]
    assert len(told) == 1, ended.stderr
    assert str(tmp_path) in told[0]


FORK = """
    import os, sys
    from osprofiler import _native, notifier, profiler
    notifier.set(notifier.create(sys.argv[1], project="p", service="s"))
    profiler.init("key", "parent")
    with profiler.Trace("before"):
        pass
    _native.flush(60)
    profiler.start("open")
    children = []
    for number in range(8):
        pid = os.fork()
        if pid == 0:
            with profiler.Trace("inherited"):
                pass
            profiler.clean()
            profiler.init("key", f"child-{number}")
            for _ in range(100):
                with profiler.Trace("outer"), profiler.Trace("inner"):
                    pass
            # Eight that end at once may wait longer for one file's lock than an end does.
            _native.flush(60)
            sys.exit(0)
        children.append(pid)
    statuses = [os.waitpid(pid, 0)[1] for pid in children]
    profiler.stop()
    print(statuses)
"""


def test_forked_children_record_for_themselves(tmp_path):
    connection_string = f"sqlite://{tmp_path}/trace"
    ended = run_python(FORK, connection_string)
    assert (ended.stdout.strip(), ended.returncode) == (str([0] * 8), 0), ended.stderr
    driver = base.get_driver(connection_string)
    ids = set()
    for number in range(8):
        report = driver.get_report(f"child-{number}")
        assert [report["stats"][name]["count"] for name in ("outer", "inner")] == [100, 100]
        assert all(len(node["children"]) == 1 for node in report["children"])
        ids |= {node["trace_id"] for node in report["children"]}
    assert len(ids) == 800
    parent = driver.get_report("parent")
    assert [node["info"]["name"] for node in parent["children"]] == ["before", "open"]
    assert [node["info"]["name"] for node in parent["children"][1]["children"]] == ["inherited"] * 8


EXIT = """
    import sys
    from osprofiler import notifier, profiler
    notifier.set(notifier.create(sys.argv[1], project="p", service="s"))
    profiler.init("key", "B")
    with profiler.Trace("x"):
        pass
    profiler.start("open")
"""


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise RuntimeError"])
def test_what_was_recorded_is_stored_when_the_process_ends(tmp_path, ending):
    connection_string = f"sqlite://{tmp_path}/trace"
    run_python(EXIT + "    " + ending, connection_string)
    report = base.get_driver(connection_string).get_report("B")
    assert [node["info"]["name"] for node in report["children"]] == ["x", "open"]
    assert "exception" not in report["children"][1]["info"]


def test_importing_brings_nothing_heavy():
    """What a service imports brings neither oslo nor an HTTP library."""
    ended = run_python("import sys, osprofiler.profiler, osprofiler.web; print(len(sys.modules), *sys.modules)")
    heavy = [name for name in ended.stdout.split() if name.startswith(("oslo", "requests", "webob", "sqlalchemy"))]
    assert heavy == []


def test_importing_the_profiler_brings_four_modules():
    """Beside what Python and the environment have loaded at their start, as in any service."""
    ended = run_python(
        """
        import collections, contextlib, functools, importlib, itertools, operator, sys, types
        before = set(sys.modules)
        import osprofiler.profiler
        print(*sorted(set(sys.modules) - before))
        """
    )
    brought = ["osprofiler", "osprofiler._native", "osprofiler._suspending", "osprofiler.profiler"]
    assert ended.stdout.split() == brought


HOST = """
    import socket
    import threading
    from osprofiler import notifier, profiler

    both = threading.Barrier(2, timeout=120)

    def gethostname():
        both.wait()
        return "name"

    def work():
        profiler.init("key", "B")
        with profiler.Trace("x"):
            pass

    socket.gethostname = gethostname
    hosts = []
    notifier.set(lambda notification: hosts.append(notification["info"]["host"]))
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(hosts)
"""


def test_two_threads_that_ask_for_the_host_at_once_get_it():
    """Both are let in before either gets an answer: whoever held the interpreter's lock meanwhile would end neither."""
    ended = run_python(HOST)
    assert (ended.stdout.strip(), ended.returncode) == (str(["name"] * 4), 0), ended.stderr


REFUSING = """
    import logging
    import os
    import sys
    from osprofiler import _native, notifier, profiler

    class Interruption(BaseException):
        pass

    class Handler(logging.Handler):
        def handle(self, record):
            print(record.getMessage(), flush=True)
            raise Interruption

    def notify(notification):
        raise ValueError("a secret")

    def work():
        try:
            with profiler.Trace("x"):
                pass
        except Interruption:
            print("interrupted", end=" ")
        print(_native.counters()["refused_by_notifier"], flush=True)

    logging.getLogger("osprofiler").addHandler(Handler())
    notifier.set(notify)
    profiler.init("key", "B")
    work()
    work()
    pid = os.fork()
    if pid:
        assert os.waitpid(pid, 0)[1] == 0
    work()
"""


def test_a_notifier_that_raises_is_told_once_and_by_each_process():
    """And an interruption of who logs it reaches the program."""
    ended = run_python(REFUSING)
    told = (
        "a notifier made in Python raised `ValueError`, and its notification is gone; further ones are dropped silently"
    )
    lines = [told, "interrupted 2", "4", told, "interrupted 2", "6"]
    assert ended.stdout.splitlines() == lines, ended.stderr
    assert ended.returncode == 0, ended.stderr
