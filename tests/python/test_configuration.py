# SPDX-License-Identifier: Apache-2.0
"""The section `[profiler]`: what services, packagers and older guides write into it, and what is said about it."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import run_python
from oslo_config import cfg
from osprofiler import _lenient, opts

# As a guide of another time has it, with options that some service has and others have not.
SEEN_IN_A_GUIDE = """
[profiler]
enabled = True
hmac_keys = 123
trace_wsgi_transport = True
trace-message-store = True
"""

START = """
    import logging, sys
    from oslo_config import cfg
    from osprofiler import initializer
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s", stream=sys.stdout)
    logging.getLogger("oslo_config").setLevel(logging.WARNING)
    conf = cfg.ConfigOpts()
    conf(["--config-file", sys.argv[1]])
    for service in ("one", "two"):
        initializer.init_from_conf(conf, context={}, project="p", service=service, host="h")
    print("osprofiler.opts" in sys.modules, conf.profiler.enabled)
"""


def started(tmp_path, text):
    """Start a service that registers no options itself with a configuration; return what it logs and prints."""
    (tmp_path / "service.conf").write_text(text)
    ended = run_python(START, tmp_path / "service.conf")
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_options_that_nobody_knows_are_told_in_a_debug_line(tmp_path):
    lines = started(tmp_path, SEEN_IN_A_GUIDE + f"connection_string = file://{tmp_path}/trace\n")
    told = "DEBUG osprofiler unknown options of `[profiler]` are ignored: `trace_message_store`, `trace_wsgi_transport`"
    assert lines.count(told) == 2
    assert not [line for line in lines if line.startswith(("WARNING", "ERROR"))]
    assert lines[-1] == "True True"


@pytest.mark.parametrize("store", ["file://{}/trace", "redissentinel://127.0.0.1:1"])
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("es_scroll_size", "many", "it has to be a whole number; the default counts, `10000`"),
        ("socket_timeout", "soon", "it has to be a number; the default counts, `0.1`"),
        ("filter_error_trace", "maybe", "it has to be `True` or `False`; the default counts, `False`"),
        ("mask_secrets", "maybe", "it has to be `True` or `False`; the default counts, `True`"),
        ("publish_counters", "maybe", "it has to be `True` or `False`; the default counts, `True`"),
        ("queue_max_mib", "64MiB", "it has to be a whole number from 1 to 65536; the default counts, `64`"),
        ("spool_max_mib", "0", "it has to be a whole number from 1 to 16777216; the default counts, `256`"),
        ("spool_folder", "spool", "it has to be an absolute path; the default counts, which is empty"),
    ],
)
def test_a_value_that_is_none_is_told_once_and_the_default_counts(tmp_path, store, name, value, told):
    store = store.format(tmp_path)
    lines = started(tmp_path, f"[profiler]\nconnection_string = {store}\nhmac_keys = k\n{name} = {value}\n")
    warning = f"WARNING osprofiler `{name}` in `[profiler]` cannot be `{value}`: {told}"
    assert [line for line in lines if line.startswith(("WARNING", "ERROR"))] == [warning]
    assert [line for line in lines if "osprofiler sends to" in line]


# What a service takes for a configuration that is no oslo.config.
OTHER = """
    import ast, logging, sys
    from osprofiler import _native, notifier, profiler
    sys.stdout.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    class Attributes(dict):
        __getattr__ = dict.__getitem__
    conf = Attributes(profiler=Attributes(ast.literal_eval(sys.argv[2])))
    for service in ("one", "two"):
        notifier.set(notifier.create(sys.argv[1], project="p", service=service, host="h", conf=conf))
    profiler.init("key")
    with profiler.Trace("x"):
        pass
    print(_native.flush(60)["spooled"])
"""


@pytest.mark.parametrize(
    ("options", "spooled", "told"),
    [
        ({}, 0, None),
        ({"enabled": True}, 0, None),
        ({"spool_folder": "/"}, 2, None),
        ({"spool_folder": "/", "queue_max_mib": 1}, 2, None),
        ({"spool_folder": "/", "queue_max_mib": "64"}, 2, "`queue_max_mib` in `[profiler]` cannot be `64`"),
        ({"spool_folder": "/", "spool_max_mib": -1}, 2, "`spool_max_mib` in `[profiler]` cannot be `-1`"),
        ({"spool_folder": 5}, 0, "`spool_folder` in `[profiler]` cannot be `5`"),
        ({"spool_folder": b"/spool"}, 0, "`spool_folder` in `[profiler]` cannot be `b'/spool'`"),
        ({"spool_folder": "/\ud800"}, 0, "`spool_folder` in `[profiler]` cannot be `/\\ud800`"),
    ],
)
def test_another_object_gives_what_options_it_has(tmp_path, options, spooled, told):
    if options.get("spool_folder") == "/":
        (tmp_path / "spool").mkdir()
        options = {**options, "spool_folder": str(tmp_path / "spool")}
    else:
        # What goes into no files waits for the store.
        (tmp_path / "store").mkdir()
    ended = run_python(OTHER, f"file://{tmp_path}/store/trace", ascii(options))
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[-1] == str(spooled)
    said = [line for line in lines if "`[profiler]`" in line]
    assert len(said) == (told is not None)
    assert told is None or said[0].startswith(told)


FAILING = {"enabled", "trace_sqlalchemy", "trace_requests"}


def test_each_option_that_can_be_wrong_fails_or_has_its_default_count():
    wrong = {option.name for option in opts._PROFILER_OPTS if not isinstance(option, cfg.StrOpt)} | {"spool_folder"}
    assert set(_lenient.DEFAULTS) == wrong - FAILING
    bounded = [option for option in opts._PROFILER_OPTS if getattr(option.type, "min", None) is not None]
    assert {option.name: (option.type.min, option.type.max) for option in bounded} == _lenient.BOUNDS


@pytest.mark.parametrize("name", sorted(FAILING))
def test_any_other_value_that_is_none_fails_where_it_is_read(tmp_path, name):
    (tmp_path / "service.conf").write_text(f"[profiler]\n{name} = maybe\n")
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf)
    conf(["--config-file", str(tmp_path / "service.conf")])
    with pytest.raises(cfg.ConfigFileValueError):
        conf.profiler[name]


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("enabled = True", 1),
        ("enabled = True\nhmac_keys = mine, SECRET_KEY", 1),
        ("profiler_enabled = True", 1),
        # Whoever asks `init_from_conf` for it has the middleware on.
        ("enabled = False", 1),
        ("enabled = True\nhmac_keys = mine", 0),
    ],
)
def test_the_default_key_is_warned_of_once(tmp_path, text, warnings):
    lines = started(tmp_path, f"[profiler]\nconnection_string = file://{tmp_path}/trace\n{text}\n")
    assert len(warned(lines)) == warnings


def warned(lines):
    return [line for line in lines if line.startswith("WARNING osprofiler ") and "`SECRET_KEY`" in line]


BY_HAND = """
    import logging, sys
    from osprofiler import asgi, opts, web
    from oslo_config import cfg
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", stream=sys.stdout)
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf, enabled=True)
    conf([])
    for _ in range(2):
        exec(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("web.enable('mine, SECRET_KEY')", 1),
        ("web.enable(['SECRET_KEY'])", 1),
        ("web.enable('mine')", 0),
        ("web.enable()", 0),
        ("opts.enable_web_trace(conf)", 1),
        ("web.WsgiMiddleware(None, 'SECRET_KEY', enabled=True)", 1),
        ("asgi.AsgiMiddleware(None, 'SECRET_KEY', enabled=True)", 1),
        ("web.WsgiMiddleware.factory({}, hmac_keys='SECRET_KEY', enabled='yes')(None)", 1),
        ("web.WsgiMiddleware.factory({}, hmac_keys='SECRET_KEY', enabled='no')(None)", 0),
        ("web.WsgiMiddleware(None, 'SECRET_KEY')", 0),
        ("web.enable('mine'); web.WsgiMiddleware(None, 'SECRET_KEY', enabled=True)", 0),
        ("web.enable(); web.WsgiMiddleware(None, 'SECRET_KEY')", 1),
        ("web.disable(); web.WsgiMiddleware(None, 'SECRET_KEY', enabled=True)", 0),
    ],
)
def test_a_service_set_up_by_hand_is_warned_of_the_default_key_once(text, warnings):
    ended = run_python(BY_HAND, text)
    assert ended.returncode == 0, ended.stderr
    assert len(warned(ended.stdout.splitlines())) == warnings, ended.stdout


def test_the_older_name_of_enabled_is_understood(tmp_path):
    (tmp_path / "service.conf").write_text("[profiler]\nprofiler_enabled = True\n")
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf)
    conf(["--config-file", str(tmp_path / "service.conf")])
    assert conf.profiler.enabled is True


def test_each_option_can_be_given_a_default():
    conf = cfg.ConfigOpts()
    given = {
        "enabled": True,
        "trace_sqlalchemy": True,
        "hmac_keys": "k",
        "connection_string": "file:///x",
        "es_doc_type": "d",
        "es_scroll_time": "1m",
        "es_scroll_size": 5,
        "socket_timeout": 0.5,
        "sentinel_service_name": "s",
        "mask_secrets": False,
    }
    opts.set_defaults(conf, **given)
    conf([])
    assert {name: conf.profiler[name] for name in given} == given


def generated(*arguments):
    program = Path(sys.executable).with_name("oslo-config-generator")
    ended = subprocess.run(
        [program, "--namespace", "osprofiler", *arguments], capture_output=True, text=True, check=True
    )
    return ended.stdout


def test_packagers_get_each_option_from_the_generator():
    """Through the entry point, as they call it."""
    groups = json.loads(generated("--format", "json"))["options"]
    assert set(groups) >= {"profiler", "profiler_jaeger", "profiler_otlp"}
    names = [option["name"] for option in groups["profiler"]["opts"]]
    assert sorted(names) == sorted(option.name for option in opts._PROFILER_OPTS)
    assert "mask_secrets" in names
    sample = generated()
    assert "#enabled = false" in sample
    assert "#mask_secrets = true" in sample
    assert "# Deprecated group/name - [profiler]/profiler_enabled" in sample


def test_a_configuration_that_is_none_is_no_reason_to_fail(caplog):
    """Whatever an object answers for `profiler`."""
    from osprofiler import _advice

    class Odd:
        @property
        def profiler(self):
            raise RuntimeError("odd")

    with caplog.at_level(logging.DEBUG):
        for conf in (None, 5, Odd()):
            _advice.tell_unknown_options(conf)
