# SPDX-License-Identifier: Apache-2.0
"""Each import path, name and signature that services use exists, and so does what the wheel brings beside them."""

import importlib
import importlib.metadata
import inspect
import io
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from conftest import run_python
from osprofiler import _native, exc, profiler
from osprofiler import cmd as command_package
from osprofiler.cmd import cliutils, shell
from osprofiler.drivers import base
from osprofiler.hacking import checks

SIGNATURES = """
osprofiler.profiler init(hmac_key, base_id=None, parent_id=None)
osprofiler.profiler get()
osprofiler.profiler clean()
osprofiler.profiler start(name, info=None)
osprofiler.profiler stop(info=None)
osprofiler.profiler trace(name, info=None, hide_args=False, hide_result=True, allow_multiple_trace=True)
osprofiler.profiler trace_cls(name, info=None, hide_args=False, hide_result=True, trace_private=False, \
allow_multiple_trace=True, trace_class_methods=False, trace_static_methods=False)
osprofiler.profiler Trace(name, info=None)
osprofiler.profiler _Profiler(hmac_key, base_id=None, parent_id=None)
osprofiler.profiler _Profiler.start(self, /, name, info=None)
osprofiler.profiler _Profiler.stop(self, /, info=None)
osprofiler.notifier notify(info)
osprofiler.notifier get()
osprofiler.notifier set(notifier)
osprofiler.notifier create(connection_string, *args, **kwargs)
osprofiler.notifier clear_notifier_cache()
osprofiler.notifier _noop_notifier(info, context=None)
osprofiler.web get_trace_id_headers()
osprofiler.web enable(hmac_keys=None)
osprofiler.web disable()
osprofiler.web WsgiMiddleware(application, hmac_keys=None, enabled=False, **kwargs)
osprofiler.web WsgiMiddleware.factory(global_conf, **local_conf)
osprofiler.sqlalchemy enable()
osprofiler.sqlalchemy disable()
osprofiler.sqlalchemy add_tracing(sqlalchemy, engine, name, hide_result=True)
osprofiler.sqlalchemy wrap_session(sqlalchemy, sess)
osprofiler.sqlalchemy _before_cursor_execute(name)
osprofiler.sqlalchemy _after_cursor_execute(hide_result=True)
osprofiler.requests enable()
osprofiler.opts set_defaults(conf, enabled=None, trace_sqlalchemy=None, hmac_keys=None, connection_string=None, \
es_doc_type=None, es_scroll_time=None, es_scroll_size=None, socket_timeout=None, \
sentinel_service_name=None, mask_secrets=None)
osprofiler.opts is_trace_enabled(conf=None)
osprofiler.opts is_db_trace_enabled(conf=None)
osprofiler.opts enable_web_trace(conf=None)
osprofiler.opts disable_web_trace(conf=None)
osprofiler.opts list_opts()
osprofiler.exc CommandError(message=None)
osprofiler._utils split(text, strip=True)
osprofiler._utils binary_encode(text, encoding='utf-8')
osprofiler._utils binary_decode(data, encoding='utf-8')
osprofiler._utils generate_hmac(data, hmac_key)
osprofiler._utils signed_pack(data, hmac_key)
osprofiler._utils signed_unpack(data, hmac_data, hmac_keys)
osprofiler._utils itersubclasses(cls, _seen=None)
osprofiler._utils import_modules_from_package(package)
osprofiler._utils shorten_id(span_id)
osprofiler._utils uuid_to_int128(span_uuid)
osprofiler.drivers.base get_driver(connection_string, *args, **kwargs)
osprofiler.drivers.base Driver(connection_str, project=None, service=None, host=None, **kwargs)
osprofiler.drivers.base Driver._append_results(self, trace_id, parent_id, name, project, service, host, timestamp, \
raw_payload=None)
osprofiler.drivers.base Driver.list_traces(self, fields=None)
osprofiler.cmd.shell main(args=None)
osprofiler.cmd.cliutils env(*args, **kwargs)
osprofiler.cmd.cliutils add_arg(function, *args, **kwargs)
osprofiler.hacking.checks check_quotes(logical_line, filename, noqa=False)
osprofiler.hacking.checks check_no_constructor_data_struct(logical_line, filename, noqa=False)
osprofiler.hacking.checks check_dict_formatting_in_string(logical_line, tokens, noqa=False)
osprofiler.hacking.checks check_raises(physical_line, filename)
"""


@pytest.mark.parametrize("line", SIGNATURES.strip().split("\n"))
def test_signature(line):
    module, _, rest = line.partition(" ")
    name, _, signature = rest.partition("(")
    value = importlib.import_module(module)
    for part in name.split("."):
        value = getattr(value, part)
    assert str(inspect.signature(value)) == f"({signature}"


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("osprofiler", "__version__"),
        ("osprofiler.profiler", "TracedMeta"),
        ("osprofiler.web", "X_TRACE_INFO X_TRACE_HMAC _REQUIRED_KEYS _OPTIONAL_KEYS _ENABLED _HMAC_KEYS"),
        ("osprofiler.sqlalchemy", "handle_error _DISABLED"),
        ("osprofiler.requests", "send _FUNC"),
        ("osprofiler.opts", "_profiler_opt_group _PROFILER_OPTS"),
        ("osprofiler.exc", "LogInsightAPIError LogInsightLoginTimeout"),
        ("osprofiler.initializer", "init_from_conf"),
        ("osprofiler.cmd.cliutils", "arg"),
        ("osprofiler.cmd.shell", "OSProfilerShell"),
    ],
)
def test_name(module, names):
    imported = importlib.import_module(module)
    assert [name for name in names.split() if not hasattr(imported, name)] == []


def test_submodules_are_attributes():
    ended = run_python("import osprofiler; print(osprofiler.web.X_TRACE_INFO, osprofiler.profiler.get())")
    assert ended.stdout == "X-Trace-Info None\n"


def test_metadata():
    metadata = importlib.metadata.metadata("osprofiler")
    assert metadata["Version"] == _native.__version__
    assert metadata["Requires-Python"] == ">=3.10"
    upstreams = {"elasticsearch", "messaging", "mongo", "otlp", "redis", "sqlalchemy"}
    clients = {"aiohttp", "httpx", "requests", "urllib3"}
    assert set(metadata.get_all("Provides-Extra")) == upstreams | clients
    assert (metadata["License-Expression"], metadata["License-File"]) == ("Apache-2.0", "LICENSE")
    (license_file,) = [path for path in importlib.metadata.files("osprofiler") if path.name == "LICENSE"]
    assert "Apache License" in license_file.read_text()
    entry_points = {
        (entry.group, entry.name, entry.value)
        for entry in importlib.metadata.distribution("osprofiler").entry_points
        if entry.load() is not None
    }
    assert entry_points == {
        ("oslo.config.opts", "osprofiler", "osprofiler.opts:list_opts"),
        ("paste.filter_factory", "osprofiler", "osprofiler.web:WsgiMiddleware.factory"),
    }


def test_the_module_is_built_for_this_interpreter():
    assert sysconfig.get_config_var("EXT_SUFFIX") in _native.__file__


def test_the_command_is_a_native_program_and_main_does_the_same(capfd):
    program = Path(sys.executable).with_name("osprofiler")
    assert program.read_bytes()[:4] == b"\x7fELF"
    ran = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert shell.main(["--version"]) is None
    assert capfd.readouterr().out == ran.stdout
    assert _native.__version__ in ran.stdout


def test_main_writes_to_pythons_streams_and_returns_its_status(monkeypatch, tmp_path):
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    store = f"sqlite://{tmp_path}/absent"
    assert shell.main(["trace", "show", "--json", "unknown", "--connection-string", store]) == 1
    assert (out.getvalue(), "absent" in err.getvalue()) == ("", True)


@pytest.mark.parametrize("form", ["--json", "--html", "--tree"])
def test_main_shows_what_the_program_shows(capfd, form):
    fixture = Path(__file__).parents[2] / "fixtures" / "server-stop-error.jsonl"
    arguments = ["trace", "show", form, str(fixture)]
    program = Path(sys.executable).with_name("osprofiler")
    ran = subprocess.run([program, *arguments], capture_output=True, text=True, check=True)
    assert shell.main(arguments) is None
    assert capfd.readouterr().out == ran.stdout


def test_the_module_as_a_script_tells_its_status(tmp_path):
    """D-35."""
    ended = subprocess.run(
        [sys.executable, "-m", "osprofiler.cmd.shell", "trace", "list", "--connection-string", "nope://"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert ended.returncode != 0
    assert "nope" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("options", [[], ["-u"]])
@pytest.mark.parametrize("arguments", [["--version"], ["trace", "show", "--json", "fixtures/server-show.jsonl"]])
def test_a_reader_that_went_away_is_no_failure_of_the_module(options, arguments):
    """As in the native program: nothing is said, and the status is 0; be it little that nobody reads, or much."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as stdout:
        ended = subprocess.run(
            [sys.executable, *options, "-m", "osprofiler.cmd.shell", *arguments],
            cwd=Path(__file__).parents[2],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_template_is_where_others_look_for_it():
    template = Path(command_package.__file__).with_name("template.html").read_text()
    assert (template.count("$DATA"), template.count("$LOCAL")) == (1, 1)
    assert not re.search(r"(?:src|href)\s*=", template)
    # What comes after the element that holds the data cannot be markup, whatever the data is.
    assert template.rstrip().endswith('<plaintext id="data" hidden>$DATA')


def test_drivers_of_others_are_found_by_name():
    class Other(base.Driver):
        @classmethod
        def get_name(cls):
            return "other"

    assert isinstance(base.get_driver("other"), Other)
    with pytest.raises(NotImplementedError, match="other: This method is either not supported or has to be overridden"):
        base.get_driver("other://").get_report("B")


def test_errors_of_the_command():
    assert str(exc.CommandError("bad")) == "bad"
    assert str(exc.CommandError()) == "Invalid usage of CLI."


def test_helpers_of_commands(monkeypatch):
    monkeypatch.setenv("FIRST", "")
    monkeypatch.setenv("SECOND", "2")
    assert cliutils.env("ABSENT", "FIRST", "SECOND") == "2"
    assert cliutils.env("ABSENT", default="d") == "d"

    @cliutils.arg("a", help="A")
    @cliutils.arg("b")
    def command():
        pass

    assert command.arguments == [(("a",), {"help": "A"}), (("b",), {})]


def test_a_profiler_can_be_patched(monkeypatch):
    """What mistralclient's tests do."""
    monkeypatch.setattr(profiler._Profiler, "get_base_id", lambda self: "patched")
    assert profiler._Profiler("key").get_base_id() == "patched"


@pytest.mark.parametrize(
    ("check", "line", "found"),
    [
        (checks.check_quotes, "a = 'b'", [(4, "N350 Remove Single quotes")]),
        (checks.check_quotes, 'a = "it\'s"', []),
        (checks.check_quotes, "a = 1  # it's", []),
        (checks.check_quotes, '"""it\'s"""', []),
        (
            checks.check_no_constructor_data_struct,
            "a = dict()",
            [(0, "N351 Remove dict() construct and use literal {}")],
        ),
        (checks.check_no_constructor_data_struct, "a = list(b)", []),
    ],
)
def test_style_checks(check, line, found):
    assert list(check(line, "file.py")) == found
    assert list(check(line, "file.py", noqa=True)) == []


@pytest.mark.parametrize(
    ("line", "fine"),
    [
        (":raises ValueError: if it is bad", True),
        (":raises: ValueError", False),
        (":raise ValueError: if", False),
        (":raises ValueError", False),
        ("nothing raises here", True),
    ],
)
def test_docstring_check(line, fine):
    assert (checks.check_raises(f"    {line}", "file.py") is None) is fine
