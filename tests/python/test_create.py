# SPDX-License-Identifier: Apache-2.0
"""`notifier.create` and `notifier.set`: whatever they are given, a service starts; one store gets what is recorded."""

import logging
import sqlite3

import pytest
from conftest import KEY, run_python
from oslo_config import cfg
from osprofiler import _native, notifier, opts, profiler
from osprofiler.drivers import base, store


@pytest.fixture(autouse=True)
def forget():
    """No notifier of another test."""
    notifier.clear_notifier_cache()
    yield
    notifier.clear_notifier_cache()
    notifier.set(notifier._noop_notifier)
    profiler.clean()


def record(base_id, name="x"):
    """Record a point in a trace of its own."""
    profiler.init(KEY, base_id)
    with profiler.Trace(name):
        pass
    profiler.clean()
    assert _native.flush(60)["waiting"] == 0


def names(connection_string, base_id):
    """Return the names of a trace's points in a store."""
    return list(base.get_driver(connection_string).get_report(base_id)["stats"])


def test_only_the_store_that_was_set_gets_what_is_recorded(tmp_path):
    """Both were made for the same service."""
    first, second = f"file://{tmp_path}/first", f"sqlite://{tmp_path}/second"
    made = [notifier.create(store, project="p", service="two-stores", host="h") for store in (first, second)]
    notifier.set(made[1])
    record("one", "in second")
    notifier.set(made[0])
    record("two", "in first")
    assert (tmp_path / "first").read_text().count('"one"') == 0
    assert (names(first, "two"), names(second, "one"), names(second, "two")) == (["in first"], ["in second"], [])


def conf_of(**options):
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf, **options)
    return conf


ONE_CONF = conf_of()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"service": "a"}, {"service": "a"}, True),
        ({"service": "a"}, {"service": "b"}, False),
        ({"service": "a"}, {"service": "a", "host": "h"}, False),
        ({"context": {}}, {"context": {}}, True),
        ({"context": {"a": [1, "b"]}}, {"context": {"a": [1, "b"]}}, True),
        ({"context": object()}, {"context": object()}, False),
        ({"conf": ONE_CONF}, {"conf": ONE_CONF}, True),
        ({"conf": conf_of(enabled=True)}, {"conf": conf_of(enabled=False)}, False),
        ({"timeout": 1}, {"timeout": True}, False),
    ],
)
def test_equal_arguments_give_the_same_notifier(tmp_path, one, other, same):
    connection_string = f"file://{tmp_path}/trace"
    first = notifier.create(connection_string, **one)
    assert (notifier.create(connection_string, **other) is first) is same
    assert notifier.create(connection_string, **one) is first


def test_ever_new_arguments_do_not_fill_the_memory(tmp_path):
    connection_string = f"file://{tmp_path}/trace"
    for _ in range(100):
        notifier.create(connection_string, context=object())
    assert len(notifier._notifier_cache[connection_string]) == 16


class Anywhere(base.Driver):
    """A driver made in Python, since a process has room for a few native stores only."""

    @classmethod
    def get_name(cls):
        return "anywhere"

    def notify(self, info, **kwargs):
        pass


def test_ever_new_connection_strings_do_not_fill_the_memory():
    for number in range(100):
        notifier.create(f"anywhere://{number}")
    assert list(notifier._notifier_cache) == [f"anywhere://{number}" for number in range(84, 100)]


def test_a_connection_string_that_names_no_store_is_not_kept():
    notifier.create("no-such-scheme://")
    assert notifier._notifier_cache == {}


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        (None, TypeError, "the connection string is `None`: write `scheme://...`"),
        (5, TypeError, "the connection string is of the type `int`: write `scheme://...`"),
        ("", ValueError, "the connection string is empty: write `scheme://...`"),
        (" ", ValueError, "the connection string is empty: write `scheme://...`"),
    ],
)
def test_who_gives_no_connection_string_is_told_so(caplog, given, kind, expected):
    """With the types of upstream's exceptions."""
    with pytest.raises(kind) as raised:
        base.get_driver(given)
    assert str(raised.value).startswith(expected)
    assert notifier.create(given) is notifier._noop_notifier
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("osprofiler is off: ")
    assert told.endswith(str(raised.value))
    assert "none://" not in told


def test_what_older_services_pass_by_position_is_understood(tmp_path):
    """D-40: the call of trove and senlin."""
    import json as messaging

    connection_string = f"file://{tmp_path}/trace"
    made = notifier.create(connection_string, messaging, {}, object(), "trove", "trove-api", "host-1")
    driver = made.__self__
    assert (driver.project, driver.service, driver.host) == ("trove", "trove-api", "host-1")


class Unprintable:
    """Raises whatever is asked of it."""

    def __getattr__(self, name):
        raise RuntimeError("no")

    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __hash__ = __eq__ = __str__


ODD = [None, 5, b"file:///x", ["file:///x"], {}, object(), Unprintable(), "\ud800", "file:///\0", "x" * 100_000]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_odd_arguments_harm_nobody(tmp_path, caplog, odd):
    assert callable(notifier.create(odd, odd, odd, project=odd, service=odd, host=odd, context=odd, conf=odd))
    made = notifier.create(
        f"file://{tmp_path}/trace", project=odd, service=odd, host=odd, context=odd, conf=odd, other=odd
    )
    notifier.set(made)
    record("B")
    notifier.set(odd)
    record("B")
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    "connection_string", ["redis://:s3cret@h?nope=1", "elasticsearch://u:s3cret@h?nope=1", "nope://u:s3cret@h"]
)
def test_a_driver_that_cannot_be_is_told_once_and_leaves_tracing_off(caplog, connection_string):
    with caplog.at_level(logging.INFO):
        notifier.set(notifier.create(connection_string))
        record("B")
    (record_,) = [record for record in caplog.records if record.name.startswith("osprofiler")]
    assert record_.levelname == "ERROR"
    assert "s3cret" not in caplog.text


def test_a_driver_that_cannot_be_can_be_set_and_is_off(caplog):
    driver = base.get_driver("redis://:s3cret@h?nope=1")
    notifier.set(driver.notify)
    record("B")
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("osprofiler is off: no driver for the connection string `redis://:***@h?nope=1`: ")
    assert notifier.get() == driver.notify


def test_a_driver_made_of_one_of_ours_is_asked_itself(tmp_path):
    class Counting(store.StoreDriver):
        count = 0

        def notify(self, info, **kwargs):
            Counting.count += 1
            super().notify(info, **kwargs)

    connection_string = f"file://{tmp_path}/trace"
    notifier.set(Counting(connection_string, project="p", service="counting").notify)
    record("B")
    assert (Counting.count, names(connection_string, "B")) == (2, ["x"])


def raising(*arguments, **keywords):
    raise RuntimeError("no")


class Failing(base.Driver):
    """A driver made in Python that fails at everything but being made."""

    notify = raising

    @classmethod
    def get_name(cls):
        return "failing"


@pytest.mark.parametrize("made", [raising, Failing("failing://").notify, lambda: None, 5, None])
def test_what_a_notifier_raises_reaches_nobody(made):
    notifier.set(made)
    record("B")
    profiler.init(KEY, "C")
    with pytest.raises(KeyError, match="own"), profiler.Trace("x"):
        raise KeyError("own")


HANGING = """
    import sys, time
    from osprofiler import _native, notifier, profiler
    notifier.set(notifier.create(sys.argv[1], project="p", service="s"))
    profiler.init("key", "B")
    for _ in range(100):
        with profiler.Trace("x"):
            pass
    print(_native.flush(0.2)["waiting"])
"""


def test_a_store_that_hangs_holds_nobody_up(tmp_path):
    """A writer who keeps the store's lock: neither a point nor the process's end waits for him."""
    base.get_driver(f"sqlite://{tmp_path}/trace", project="p", service="hanging").notify(
        {"name": "x-start", "base_id": "A", "trace_id": "A", "parent_id": "A"}
    )
    assert _native.flush(60)["waiting"] == 0
    other = sqlite3.connect(tmp_path / "trace", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    ended = run_python(HANGING, f"sqlite://{tmp_path}/trace")
    other.close()
    assert (ended.stdout, ended.returncode) == ("200\n", 0), ended.stderr
