# SPDX-License-Identifier: Apache-2.0
"""`osprofiler doctor` beside the services that it looks at: their options, their configuration, their processes."""

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest
from oslo_config import cfg
from osprofiler import _lenient, _native, opts
from prometheus_client.parser import text_string_to_metric_families

DOCTOR = [os.environ["OSPROFILER_BIN"], "doctor"]
FIXTURES = Path(__file__).parents[2] / "fixtures"
# Longer than anything that is going to happen takes.
LONG = 60


def doctor(*arguments, folder="off", code=0, user=None):
    ended = subprocess.run(
        [*DOCTOR, *map(str, arguments)],
        user=user,
        group=user and pwd.getpwnam(user).pw_gid,
        extra_groups=user and [],
        env={**os.environ, "OSPROFILER_RUNTIME_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    return ended.stdout


def test_the_command_knows_the_options_of_the_package(tmp_path):
    (tmp_path / "empty.conf").write_text("")
    found = json.loads(doctor("--json", "--config-file", tmp_path / "empty.conf"))
    known = {(option["group"], option["name"]): option["value"] for option in found["configuration"]["options"]}
    ours = {(group, option.name): option.default for group, options in opts.list_opts() for option in options}
    assert known.keys() == ours.keys()
    shown = {"hmac_keys": "1 key", "process_tags": ""}
    for (group, name), default in ours.items():
        assert known[group, name] == shown.get(name, "" if default is None else str(default)), name


def test_the_command_knows_the_bounds_of_the_package(tmp_path):
    path = tmp_path / "service.conf"
    options = [option for group, options in opts.list_opts() if group == "profiler" for option in options]
    bounded = [option for option in options if getattr(option.type, "min", None) is not None]
    assert bounded
    for option in bounded:
        least, most = option.type.min, option.type.max
        for value, fits in ((least - 1, False), (least, True), (most, True), (most + 1, False)):
            path.write_text(f"[profiler]\nconnection_string = file://{tmp_path}/traces\n{option.name} = {value}\n")
            told = doctor("--no-test-trace", "--config-file", path, code=int(not fits))
            fault = f"`{option.name}` cannot be what it is: it has to be a whole number from {least} to {most}"
            assert (fault in told) is not fits, told


@pytest.mark.parametrize(
    "option",
    [option for option in opts._PROFILER_OPTS if option.name != "connection_string"],
    ids=lambda option: option.name,
)
def test_the_command_tells_what_becomes_of_a_value_that_is_none(tmp_path, monkeypatch, option):
    """Whoever fails and whoever goes on with the default is as the package has it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "maybe").mkdir()
    path = tmp_path / "service.conf"
    path.write_text(f"[profiler]\nconnection_string = file://{tmp_path}/traces\n{option.name} = maybe\n")
    told = doctor("--no-test-trace", "--config-file", path, code=int(option.name in CAN_BE_WRONG))
    default = _lenient.DEFAULTS.get(option.name)
    counts = f"the default counts, {'which is empty' if default is None else f'`{default}`'}"
    assert (counts in told) is (option.name in _lenient.DEFAULTS), told
    fails = "the service fails when it reads it" in told
    assert fails is (option.name in CAN_BE_WRONG - set(_lenient.DEFAULTS)), told
    # Neither a folder of the command's own is looked at, nor one that the service takes for none.
    assert "`spool_folder` belongs" not in told


CAN_BE_WRONG = {option.name for option in opts._PROFILER_OPTS if not isinstance(option, cfg.StrOpt)} | {"spool_folder"}


def test_the_folder_for_what_waits_is_looked_at(tmp_path):
    path, folder, file = tmp_path / "service.conf", tmp_path / "spool", tmp_path / "file"
    file.touch()
    folder.mkdir(mode=0o700)
    owner = f"{folder.owner()}:{folder.group()}"
    writers = "root" if folder.owner() == "root" else f"root, {folder.owner()}"
    for named, code, expected in (
        (folder, 0, f"ok       `spool_folder` belongs to {owner} (mode 0700); it can be written by {writers}"),
        (tmp_path / "missing", 1, f"error    {path}:3: `spool_folder`: the folder `{tmp_path}/missing` does not exist"),
        (file, 1, f"error    {path}:3: `spool_folder`: `{file}` is no folder"),
        ("", 0, None),
    ):
        path.write_text(f"[profiler]\nconnection_string = file://{tmp_path}/traces\nspool_folder = {named}\n")
        told = doctor("--no-test-trace", "--config-file", path, code=code)
        found = [line.strip() for line in told.splitlines() if "`spool_folder`" in line]
        nothing = "ok       `spool_folder` holds no file that waits"
        wanted = [expected, nothing] if named == folder else [expected]
        assert found == ([] if expected is None else wanted), told


@pytest.mark.parametrize(
    ("lines", "code", "expected"),
    [
        (
            ["hmac_keys = s3cret-s3cret", "connection_string = file://{folder}/traces  # mine"],
            0,
            "warning  {path}:4: a `#` or `;` behind a blank begins no comment: it belongs to the value",
        ),
        (
            ["connection_string = file://{folder}/traces,", "  # mine", "  otlp://c"],
            1,
            "warning  {path}:3: a `#` or `;` behind a blank begins no comment: it belongs to the value",
        ),
        (
            ["hmac_keys = # mine", "connection_string = file://{folder}/traces"],
            0,
            "warning  {path}:3: a `#` or `;` behind a blank begins no comment: it belongs to the value",
        ),
        (
            ["hmac_keys = #s3cret#s3cret", "connection_string = file://{folder}/a#b"],
            0,
            None,
        ),
        (
            ["connection_string = file://{folder}/traces,,otlp://c,"],
            0,
            "store file://{folder}/traces\n",
        ),
        (
            ["connection_string = {folder}/traces"],
            1,
            "error    {path}:3: `connection_string`: the connection string does not begin with a scheme",
        ),
        (
            ["connection_string = file://{folder}/traces, redis://:%ff@h"],
            1,
            "error    {path}:3: `connection_string`: one of the stores gets nothing: the password of the `redis`",
        ),
        (
            [],
            1,
            "note     `connection_string` is not set: the default counts, `messaging://`",
        ),
    ],
)
def test_what_is_wrong_with_a_connection_string_is_told_with_its_place(tmp_path, lines, code, expected):
    path = tmp_path / "service.conf"
    text = "\n".join(["[profiler]", "enabled = True", *lines]).format(folder=tmp_path)
    path.write_text(text)
    told = doctor("--no-test-trace", "--config-file", path, code=code).splitlines(keepends=True)
    told = [line.lstrip() for line in told]
    if expected is None:
        assert not [line for line in told if "begins no comment" in line], told
    else:
        expected = expected.format(folder=tmp_path, path=path)
        assert [line for line in told if line.startswith(expected)], told


@pytest.fixture
def open_folder():
    """Make a folder that any user may enter, whoever may enter those of TMPDIR, with the command in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        shutil.copy(DOCTOR[0], folder)
        yield Path(folder)


@pytest.mark.parametrize("scheme", ["file", "sqlite"])
def test_a_file_that_this_user_may_not_write_is_an_error(open_folder, monkeypatch, scheme):
    monkeypatch.setitem(globals(), "DOCTOR", [str(open_folder / Path(DOCTOR[0]).name), "doctor"])
    folder = open_folder / "traces"
    folder.mkdir()
    path = folder / "t"
    store = f"{scheme}://{path}"

    def errors(code, *arguments, user="nobody"):
        found = json.loads(doctor("--json", "--connection-string", store, *arguments, code=code, user=user))
        [found] = found["stores"]
        errors = [finding for finding in found["findings"] if finding["level"] == "error"]
        assert all("this process is nobody" in finding["help"] for finding in errors), errors
        return [finding["text"] for finding in errors]

    refused = [f"`nobody` may not write `{path}`: permission denied"]
    hidden = [f"cannot look at `{path}`: permission denied"]
    # Not there, in a folder that he may enter and not write, write and not enter, neither, and both.
    for mode, expected in ((0o755, refused), (0o772, hidden), (0o700, hidden), (0o777, [])):
        folder.chmod(mode)
        assert errors(len(expected)) == expected, oct(mode)
        assert errors(0, user=None) == []
        assert not path.exists()
    # There: SQLite has to make a file beside it, which whoever only reads leaves there. A file of lines would be made
    # anew to remove the test trace, which is for its owner.
    copy = [DOCTOR[0], "trace", "copy", "--all", "--from", f"file://{FIXTURES}/token-issue.jsonl", "--to", store]
    subprocess.run(copy, check=True, timeout=LONG)
    for folder_mode, mode, expected in (
        (0o755, 0o666, refused if scheme == "sqlite" else []),
        (0o777, 0o666, []),
        (0o777, 0o644, refused),
        (0o700, 0o666, hidden),
    ):
        folder.chmod(folder_mode)
        path.chmod(mode)
        for arguments in [[]] * (scheme == "sqlite") + [["--no-test-trace"]]:
            assert errors(len(expected), *arguments) == expected, (oct(folder_mode), oct(mode))
            assert errors(0, *arguments, user=None) == []


def test_a_store_that_nobody_named_is_not_tried(tmp_path):
    path, missing = tmp_path / "service.conf", tmp_path / "missing.conf"
    named = f"connection_string = file://{tmp_path}/traces\n"
    for text, files, code, stores in (
        ("", [path], 0, []),
        ("enabled = off\n", [path], 0, []),
        ("enabled = off\n" + named, [path], 0, [f"file://{tmp_path}/traces"]),
        ("enabled = on\n", [path], 1, ["messaging://?transport_url=rabbit://"]),
        ("enabled = on\n" + named, [path, missing], 1, []),
        ("enabled = on\nconnection_string\n", [path], 1, []),
    ):
        path.write_text(P + text)
        paths = [word for file in files for word in ("--config-file", file)]
        found = json.loads(doctor("--json", *paths, code=code))
        assert [store["store"] for store in found["stores"]] == stores, text
        # What is named beside the files is tried all the same.
        found = json.loads(
            doctor("--json", *paths, "--connection-string", f"file://{tmp_path}/x", code=int(code and not stores))
        )
        assert [store["store"] for store in found["stores"]] == [f"file://{tmp_path}/x"], text
    levels = [finding["level"] for finding in found["configuration"]["findings"]]
    assert "error" in levels


P = "[profiler]\n"


@pytest.mark.parametrize(
    "texts",
    [
        [P + "connection_string = file:///a, file:///b"],
        [P + "connection_string = file:///a,\n  file:///b\nenabled = on"],
        [P + "connection_string : 'file:///a'\n", P + "enabled = yes"],
        [P + "connection_string = file:///a\n[DEFAULT]\nx = 1\n[Profiler]\nconnection_string = file:///b"],
        [P + "enabled = no\nprofiler_enabled = on"],
        [P + "enabled = no", P + "profiler_enabled = on"],
        ["[DEFAULT]\nstate_path = /a\n" + P + "connection_string = file://$state_path/b", "[DEFAULT]\nstate_path = /c"],
        [P + "connection_string = file:///${profiler.es_doc_type}/$$x/\\$y/$es_scroll_time"],
        [P + "connection_string = redissentinel://h\nsentinel_service_name = kolla\nsocket_timeout = 1.5"],
        [P + "#enabled = yes\n; connection_string = file:///a\nmask_secrets=off\r\nes_scroll_size = 7"],
    ],
)
def test_the_command_reads_a_configuration_as_oslo_config_does(tmp_path, texts):
    paths = []
    for number, text in enumerate(texts):
        paths += ["--config-file", str(tmp_path / f"{number}.conf")]
        # Stores that are not there fail at once, and files are not made.
        (tmp_path / f"{number}.conf").write_text(text.replace("file:///", f"file://{tmp_path}/gone/"))
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf)
    conf.register_opt(cfg.StrOpt("state_path"))
    conf(paths, project="p", default_config_files=[])
    is_tried = conf.profiler.enabled or conf.profiler.connection_string != "messaging://"
    found = json.loads(doctor("--json", "--no-test-trace", *paths, code=int(is_tried)))["configuration"]
    values = {option["name"]: option["value"] for option in found["options"] if option["group"] == "profiler"}
    for option in opts._PROFILER_OPTS:
        if option.secret:
            continue
        told = cfg.types.Boolean()(values[option.name]) if isinstance(option, cfg.BoolOpt) else values[option.name]
        value = conf.profiler[option.name]
        assert str(told) == ("" if value is None else str(value)), option.name
    stores = _native.split_connection_strings(conf.profiler.connection_string)
    if stores[0].startswith("redissentinel"):
        stores = ["redissentinel://h?sentinel=kolla&socket_timeout=1.5"]
    if stores != ["messaging://"]:
        assert found["stores"] == stores


@pytest.mark.parametrize(
    "text",
    [
        "hmac_keys = s3cret",
        P + "hmac_keys s3cret",
        P + "  s3cret",
        P + "hmac_keys = s3cret\n\n  s3cret",
        P + "= s3cret",
        "[s3cret",
        P + "enabled = Ture",
        P + "socket_timeout = fast",
        P + "connection_string = $connection_string",
    ],
)
def test_what_oslo_config_refuses_the_command_calls_an_error(tmp_path, text):
    path = tmp_path / "service.conf"
    path.write_text(text)
    with pytest.raises((cfg.Error, RecursionError)):
        read_all(path)
    told = json.loads(doctor("--json", "--no-test-trace", "--config-file", path, code=1))["configuration"]["findings"]
    assert "error" in [finding["level"] for finding in told]
    assert "s3cret" not in json.dumps(told)


def read_all(path):
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf)
    conf(["--config-file", str(path)], project="p", default_config_files=[])
    return [conf.profiler[option.name] for option in opts._PROFILER_OPTS]


SERVICE = """
    import json, sys
    from oslo_config import cfg
    from osprofiler import _native, initializer, opts, profiler
    conf = cfg.ConfigOpts()
    opts.set_defaults(conf, enabled=True, hmac_keys="key", connection_string=sys.argv[1])
    with open(sys.argv[2], "w") as file:
        file.write("[profiler]\\npublish_counters = " + sys.argv[3])
    conf(["--config-file", file.name])
    initializer.init_from_conf(conf, project="p", service=sys.argv[4])
    profiler.init("key", "B")
    for line in sys.stdin:
        count, seconds = line.split()
        for _ in range(int(count)):
            with profiler.Trace("x"):
                pass
        print(json.dumps(_native.flush(float(seconds))), flush=True)
"""


class Service:
    """A traced process that records as many points as it is told to, and says its counters."""

    def __init__(self, store, config, folder, publish="True", service="s"):
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SERVICE), store, config, publish, service],
            env={**os.environ, "OSPROFILER_RUNTIME_DIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def record(self, count, seconds=0):
        """Record points, wait at most so long until they are stored, and return the counters."""
        print(count, seconds, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def end(self):
        """End in order, or at once if it has not ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.communicate(timeout=LONG)
        self.process.kill()
        self.process.wait()


def awaited(look, is_it):
    """Look until it is what it is going to be."""
    end = time.monotonic() + LONG
    while not is_it(seen := look()):
        assert time.monotonic() < end, seen
    return seen


def metrics(folder):
    """Return what Prometheus makes of the command's text: by metric and labels, without the process's own."""
    found = {}
    for family in text_string_to_metric_families(doctor("--prometheus", folder=folder)):
        assert family.documentation
        assert family.type in ("counter", "gauge")
        for sample in family.samples:
            labels = sample.labels
            series = (sample.name, labels.get("service"), labels.get("store"), labels.get("reason"))
            # A collector refuses the whole file for a series that is in it twice.
            assert series not in found
            found[series] = sample.value
    return found


def test_prometheus_reads_what_a_service_with_an_odd_name_counts(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    name = 'a\\b"c\nd{e="f"} 1 é'
    service = Service(f"sqlite://{tmp_path}/gone/x.db", tmp_path / "conf", folder, service=name)
    try:
        counters = service.record(10)
        assert (counters["recorded"], counters["waiting"]) == (20, 20)
        label = f"p/{name}"
        recorded = ("osprofiler_notifications_recorded_total", label, None, None)
        found = awaited(lambda: metrics(folder), lambda found: found.get(recorded) == 20)
        assert found["osprofiler_notifications_waiting", label, None, None] == 20
        assert found["osprofiler_notifications_stored_total", label, None, None] == 0
        assert found["osprofiler_notifications_spooled", label, None, None] == 0
        assert found["osprofiler_notifications_lost_total", label, None, "queue_full"] == 0
        store = f"sqlite://{tmp_path}/gone/x.db"
        assert found["osprofiler_store_notifications_waiting", None, store, None] == 20
        assert found["osprofiler_processes", None, None, None] == 1
        (tmp_path / "gone").mkdir()
        stored = ("osprofiler_notifications_stored_total", label, None, None)
        service.record(1)
        awaited(lambda: metrics(folder), lambda found: found.get(stored) == 22)
    finally:
        service.end()
    assert metrics(folder) == {("osprofiler_processes", None, None, None): 0}
    assert list(folder.iterdir()) == []


def test_what_a_service_sends_for_one_that_ended_is_told(tmp_path):
    folder, spool = tmp_path / "run", tmp_path / "spool"
    folder.mkdir()
    spool.mkdir()
    store = f"file://{tmp_path}/gone/x"
    options = f"True\nspool_folder = {spool}"
    ended = Service(store, tmp_path / "conf", folder, options)
    ended.record(10)
    awaited(lambda: ended.record(0), lambda counters: counters["spooled"] == 20)
    ended.end()
    (tmp_path / "gone").mkdir()
    service = Service(store, tmp_path / "conf", folder, options)
    try:
        service.record(1)
        adopted = ("osprofiler_notifications_adopted_total", "p/s", None, None)
        found = awaited(lambda: metrics(folder), lambda found: found.get(adopted) == 20)
        assert found["osprofiler_store_notifications_adopted_total", None, store, None] == 20
        assert found["osprofiler_notifications_recorded_total", "p/s", None, None] == 2
        [process] = json.loads(doctor("--processes", "--json", folder=folder))["processes"]
        assert (process["adopted"], process["stores"][0]["adopted"]) == (20, 20)
        assert "0 lost, sent for processes that had ended: 20\n" in doctor("--processes", folder=folder)
    finally:
        service.end()


def test_stores_that_differ_in_their_passwords_alone_are_one_series(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    # Nobody listens there.
    service = Service("redis://:a@127.0.0.1:1/0, redis://:b@127.0.0.1:1/0", tmp_path / "conf", folder)
    try:
        service.record(10)
        waiting = ("osprofiler_store_notifications_waiting", None, "redis://:***@127.0.0.1:1/0", None)
        awaited(lambda: metrics(folder), lambda found: found.get(waiting) == 40)
    finally:
        service.end()


def test_a_killed_service_is_not_listed(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    service = Service(f"file://{tmp_path}/x", tmp_path / "conf", folder)
    try:
        service.record(1)
        listed = lambda: json.loads(doctor("--processes", "--json", folder=folder))  # noqa: E731
        found = awaited(listed, lambda found: found["processes"])
        assert found["processes"][0]["pid"] == service.process.pid
        assert found["processes"][0]["services"] == [{"project": "p", "service": "s"}]
        service.process.kill()
        service.process.wait()
        found = listed()
        assert (found["processes"], found["processes_ended"]) == ([], 1)
    finally:
        service.end()


def test_a_service_whose_configuration_says_so_publishes_nothing(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    before = folder.stat().st_mtime_ns
    silent = Service(f"file://{tmp_path}/x", tmp_path / "conf", folder, publish="False")
    other = Service(f"file://{tmp_path}/y", tmp_path / "other", tmp_path, publish="True")
    try:
        assert silent.record(1, LONG)["stored"] == 2
        # By the time that one published which began later, the other would have, too.
        other.record(1)
        awaited(lambda: list(tmp_path.glob("counters-*")), lambda found: found)
        silent.record(1)
        assert (list(folder.iterdir()), folder.stat().st_mtime_ns) == ([], before)
    finally:
        silent.end()
        other.end()
