# SPDX-License-Identifier: Apache-2.0
"""The options `spool_folder`, `spool_max_mib` and `queue_max_mib`, as a service's configuration file has them."""

import json

import pytest
from conftest import run_python

SERVICE = """
    import json, os, sys
    from oslo_config import cfg
    from osprofiler import _native, initializer, opts, profiler

    conf = cfg.ConfigOpts()
    opts.set_defaults(conf)
    conf(["--config-file", sys.argv[1]])
    initializer.init_from_conf(conf, context={}, project="p", service="s", host="h")

    def record():
        profiler.init("key")
        for _ in range(10):
            with profiler.Trace("x"):
                pass
        profiler.clean()
        return _native.flush(60)

    counters = record()
    while sys.argv[2:] and counters["adopted"] < int(sys.argv[2]):
        _native.let_time_pass(60)
        counters = record()
    print(json.dumps(counters))
    sys.stdout.flush()
    if not sys.argv[2:]:
        # A worker that ends without exit handlers, as those of services do.
        if os.fork() == 0:
            record()
            os._exit(0)
        os.wait()
"""

# It lives for one batch.
PROGRAM = """
    import sys
    from oslo_config import cfg
    from osprofiler import initializer, opts, profiler

    conf = cfg.ConfigOpts()
    opts.set_defaults(conf)
    conf(["--config-file", sys.argv[1]])
    initializer.init_from_conf(conf, context={}, project="p", service="s", host="h")
    profiler.init("key")
    with profiler.Trace("x"):
        pass
"""


def service(tmp_path, *arguments, options=""):
    """Run the service; return its counters and what it said at its end."""
    (tmp_path / "service.conf").write_text(
        f"[profiler]\nenabled = True\nhmac_keys = k\nconnection_string = file://{tmp_path}/store/trace\n{options}"
    )
    ended = run_python(SERVICE, tmp_path / "service.conf", *arguments)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout), ended.stderr


def test_what_a_service_and_its_worker_leave_is_sent_by_the_next_service(tmp_path):
    spool = tmp_path / "spool"
    spool.mkdir()
    options = f"spool_folder = {spool}\nspool_max_mib = 1\nqueue_max_mib = 1\n"
    counters, told = service(tmp_path, options=options)
    assert (counters["recorded"], counters["spooled"], counters["lost"], counters["waiting"]) == (20, 20, 0, 0)
    assert told.count("20 trace notifications are in files") == 2
    assert len(list(spool.glob("*.owner"))) == 2
    (tmp_path / "store").mkdir()
    counters, told = service(tmp_path, 40, options=options)
    assert (counters["adopted"], counters["lost"], counters["waiting"]) == (40, 0, 0)
    assert list(spool.iterdir()) == []
    assert len((tmp_path / "store" / "trace").read_text().splitlines()) == 40 + counters["stored"]


def test_what_a_program_leaves_is_sent_by_the_next_however_short_it_lives(tmp_path):
    spool = tmp_path / "spool"
    spool.mkdir()
    conf = tmp_path / "program.conf"
    conf.write_text(
        "[profiler]\nenabled = True\nhmac_keys = k\n"
        f"connection_string = file://{tmp_path}/store/trace\nspool_folder = {spool}\n"
    )
    for _ in range(8):
        told = run_python(PROGRAM, conf).stderr
        assert "2 trace notifications are in files" in told
        (tmp_path / "store").mkdir()
        # What others left may take a busy machine more time than an end has for it; then the next one has it.
        programs = 0
        while programs == 0 or (programs < 3 and list(spool.iterdir())):
            assert run_python(PROGRAM, conf).returncode == 0
            programs += 1
        assert list(spool.iterdir()) == []
        trace = tmp_path / "store" / "trace"
        assert len(trace.read_text().splitlines()) == 2 + 2 * programs
        trace.unlink()
        trace.parent.rmdir()


A_BOUND = "it has to be a whole number from 1 to "


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("queue_max_mib = 64MiB", f"`queue_max_mib` in `[profiler]` cannot be `64MiB`: {A_BOUND}65536"),
        ("queue_max_mib = 0", f"`queue_max_mib` in `[profiler]` cannot be `0`: {A_BOUND}65536"),
        ("spool_max_mib = lots", f"`spool_max_mib` in `[profiler]` cannot be `lots`: {A_BOUND}16777216"),
        (
            "queue_max_mib = $nosuch",
            "`queue_max_mib` in `[profiler]` cannot be what it is (no such option nosuch in group [DEFAULT]): "
            f"{A_BOUND}65536; the default counts, `64`",
        ),
        # As templates write what is not set.
        ("queue_max_mib =", None),
        ("spool_max_mib =", None),
    ],
)
def test_a_bound_that_is_none_leaves_the_folder_in_use(tmp_path, wrong, told):
    spool = tmp_path / "spool"
    spool.mkdir()
    counters, said = service(tmp_path, options=f"spool_folder = {spool}\n{wrong}\n")
    assert (counters["spooled"], counters["lost"], counters["waiting"]) == (20, 0, 0)
    assert said.count(" in `[profiler]` ") == (told is not None)
    assert told is None or told in said


def test_a_folder_that_names_no_option_is_told(tmp_path):
    (tmp_path / "store").mkdir()
    counters, told = service(tmp_path, 0, options="spool_folder = $nosuch/spool\n")
    assert (counters["stored"], counters["spooled"]) == (20, 0)
    why = "no such option nosuch in group [DEFAULT]"
    assert f"`spool_folder` in `[profiler]` cannot be what it is ({why}): it has to be an absolute path" in told


def test_a_folder_by_a_relative_path_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spool").mkdir()
    (tmp_path / "store").mkdir()
    counters, told = service(tmp_path, 0, options="spool_folder = spool\n")
    assert counters["spooled"] == 0
    assert "`spool_folder` in `[profiler]` cannot be `spool`: it has to be an absolute path" in told
    assert list((tmp_path / "spool").iterdir()) == []


def test_without_a_folder_there_are_no_files(tmp_path):
    before = set(tmp_path.iterdir())
    (tmp_path / "store").mkdir()
    counters, told = service(tmp_path, 0)
    assert (counters["stored"], counters["spooled"], told) == (20, 0, "")
    assert set(tmp_path.iterdir()) - before == {tmp_path / "service.conf", tmp_path / "store"}
