# SPDX-License-Identifier: Apache-2.0
"""No program outlives the target that started it, and a failure shows the log that explains it."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from house import process
from house.failure import Failure
from house.process import Server
from house.waiting import free_port, wait_until

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
# Longer than anything takes here.
SECONDS = 60
# A program that starts one of its own, names it in a file, and ignores a polite request to end.
PARENT = """
import pathlib, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
signal.pause()
"""


def alive(pid: int) -> bool:
    """Say whether a process runs (one that waits to be reaped doesn't)."""
    return process._start_time(pid) != "-"


def started(tmp_path: Path) -> tuple[Server, int]:
    """Start a server with a child; return the child's process id too."""
    told = tmp_path / "child"
    server = Server("parent", [sys.executable, "-c", PARENT, told], tmp_path)
    server.start(lambda: told.exists() and told.read_text(), SECONDS)
    return server, int(told.read_text())


def test_ending_a_server_ends_its_children(tmp_path, monkeypatch):
    """Also when it doesn't listen to SIGTERM."""
    monkeypatch.setattr(process, "END_SECONDS", 0.2)
    server, child = started(tmp_path)
    parent = server.child.pid
    server.end()
    wait_until(lambda: not alive(parent) and not alive(child), "both to end", SECONDS)
    assert not server.pid_file.exists()


def test_what_an_earlier_run_left_behind_is_ended(tmp_path, monkeypatch):
    """A run that was killed leaves its servers; the next one finds them by the recorded process id."""
    monkeypatch.setattr(process, "END_SECONDS", 0.2)
    server, child = started(tmp_path)
    parent = server.child
    process.end_recorded(server.pid_file)
    parent.wait(SECONDS)
    wait_until(lambda: not alive(child), "the child to end", SECONDS)


def test_a_stranger_with_a_recorded_number_is_left_alone(tmp_path):
    """Process ids are used again; the time of the start tells."""
    stranger = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    try:
        pid_file = tmp_path / "server.pid"
        pid_file.write_text(f"{stranger.pid} 1\n")
        process.end_recorded(pid_file)
        assert stranger.poll() is None
        assert not pid_file.exists()
    finally:
        process.end_group(stranger)


def test_a_server_that_ends_early_shows_its_log(tmp_path):
    """Nobody waits for a port that nobody will open."""
    server = Server("short", [sys.executable, "-c", "raise SystemExit('no such table')"], tmp_path)
    with pytest.raises(Failure, match="no such table"):
        server.start(lambda: False, SECONDS)


def test_a_failing_step_shows_the_end_of_its_log(tmp_path):
    """The last lines, under a line that says what failed."""
    program = "[print(n) for n in range(100)]; raise SystemExit(7)"
    with pytest.raises(Failure) as caught:
        process.run([sys.executable, "-c", program], tmp_path / "log", what="counting")
    told = str(caught.value).splitlines()
    assert told[0] == "counting ended with status 7"
    assert told[-1].strip() == "99"
    assert "    10" not in told


def test_a_failing_step_whose_output_is_data_shows_its_messages(tmp_path):
    """Cargo's data is a line of JSON for each crate; why one failed stands in the messages."""
    program = "import sys; [print(n) for n in range(100)]; sys.exit('no such crate')"
    with pytest.raises(Failure) as caught:
        process.capture([sys.executable, "-c", program], tmp_path / "log")
    assert str(caught.value).splitlines()[-1].strip() == "no such crate"


def test_a_port_in_use_is_said_in_one_line():
    """With what to do about it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Failure) as caught:
            free_port(port)
    assert str(caught.value) == f"port {port} is in use: end what listens there, or leave the choice to the system"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(tmp_path, number):
    """Ctrl-C, a closed terminal, a polite kill, again and again: what was started is ended, and the status says so."""
    told = tmp_path / "child"
    program = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "from pathlib import Path; from house import ending, process\n"
        f"command = [sys.executable, '-c', {PARENT!r}, {str(told)!r}]\n"
        f"work = lambda: process.run(command, Path({str(tmp_path)!r}) / 'log')\n"
        "process.END_SECONDS = 0.2\n"
        "sys.exit(ending.framed(work))\n"
    )
    target = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    wait_until(lambda: told.exists() and told.read_text(), "the child to start", SECONDS)
    child = int(told.read_text())

    def ended() -> bool:
        os.kill(target.pid, number)  # until it is reaped there is somebody with this number
        return target.poll() is not None

    try:
        wait_until(ended, "the target to end", SECONDS)
        wait_until(lambda: not alive(child), "the child to end", SECONDS)
    except Failure:
        os.killpg(os.getpgid(child), signal.SIGKILL)
        raise
    finally:
        target.kill()
        output, _ = target.communicate()
    assert target.returncode == 130
    assert "everything that was started has been ended" in output
