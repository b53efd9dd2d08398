# SPDX-License-Identifier: Apache-2.0
"""Running programs so that none outlives the target: by group, with a log, with the process id on record.

Every program runs in a session of its own, so Ctrl-C reaches only us, and we end it with its children. A server's id is
written to a file together with the time it started at; a later run ends what an earlier one, killed, left behind, and
never a stranger that got the same number.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from house.failure import Failure
from house.waiting import wait_until

END_SECONDS = 10


def run(
    command: Sequence[str | Path],
    log: Path,
    env: Mapping[str, str] | None = None,
    *,
    cwd: Path | None = None,
    what: str | None = None,
) -> None:
    """Run a program to its end, its output appended to the log; fail with that log if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"$ {' '.join(map(str, command))}\n".encode())
        output.flush()
        child = _spawn(command, env, cwd, output, subprocess.STDOUT)
        status = _wait(child)
    if status != 0:
        raise Failure(f"{what or Path(command[0]).name} ended with status {status}", log)


@dataclass(frozen=True)
class Output:
    """What a program wrote: its data, and what it had to say beside."""

    data: str
    messages: str


def capture(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None, *, cwd: Path | None = None
) -> Output:
    """Run a program to its end and return its output; fail, with all of it in the log, if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    child = _spawn(command, env, cwd, subprocess.PIPE, subprocess.PIPE)
    try:
        data, messages = child.communicate()
    finally:
        end_group(child)
    failed = child.returncode != 0
    with log.open("ab") as record:
        # The messages come last: the end of the log is what a failure shows.
        record.write(f"$ {' '.join(map(str, command))}\n".encode() + (data if failed else b"") + messages)
    if failed:
        raise Failure(f"`{Path(command[0]).name}` ended with status {child.returncode}", log)
    return Output(data.decode(errors="replace"), messages.decode(errors="replace"))


def _spawn(command, env, cwd, stdout, stderr) -> subprocess.Popen:
    try:
        return subprocess.Popen(
            [str(part) for part in command],
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise Failure(f"`{command[0]}` is not there") from None


def _wait(child: subprocess.Popen) -> int:
    try:
        return child.wait()
    finally:
        end_group(child)


def end_group(child: subprocess.Popen) -> None:
    """End a program and whatever it started: politely, then, after the deadline, by force."""
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(END_SECONDS)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


class Server:
    """A program that runs beside us until `end`, from `start` on."""

    def __init__(self, name: str, command: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None = None):
        """Describe the server; its log and its process id go into the folder."""
        self.name = name
        self.command = command
        self.env = env
        self.log = folder / f"{name}.log"
        self.pid_file = folder / f"{name}.pid"
        self.child: subprocess.Popen | None = None

    def start(self, ready: Callable[[], object], seconds: float) -> None:
        """Start it and wait until it is ready; fail, with its log, when it ends before that."""
        self.begin()
        self.await_ready(ready, seconds)

    def begin(self) -> None:
        """Start it without waiting."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        end_recorded(self.pid_file)
        with self.log.open("ab") as output:
            self.child = _spawn(self.command, self.env, None, output, subprocess.STDOUT)
        self.pid_file.write_text(f"{self.child.pid} {_start_time(self.child.pid)}\n")

    def await_ready(self, ready: Callable[[], object], seconds: float) -> None:
        """Wait until it is ready, or has ended, which is a failure."""
        try:
            wait_until(lambda: self.child.poll() is not None or ready(), f"{self.name} to answer", seconds)
        except Failure as failure:
            raise Failure(failure.message, self.log) from None
        if self.child.poll() is not None:
            raise Failure(f"{self.name} ended with status {self.child.returncode} before it answered", self.log)

    def end(self) -> None:
        """End it and its children; does nothing for one that never started."""
        if self.child is not None:
            end_group(self.child)
            self.child = None
            self.pid_file.unlink(missing_ok=True)


def end_recorded(pid_file: Path) -> None:
    """End the process group that an earlier run recorded, if it is still the same one."""
    try:
        pid, started = pid_file.read_text().split()
    except (FileNotFoundError, ValueError):
        return
    if _start_time(int(pid)) == started:
        _signal_group(int(pid), signal.SIGTERM)
        try:
            wait_until(lambda: _start_time(int(pid)) != started, f"process {pid} to end", END_SECONDS)
        except Failure:
            _signal_group(int(pid), signal.SIGKILL)
    pid_file.unlink(missing_ok=True)


def _start_time(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; "-" for one that is gone or only waits to be reaped."""
    try:
        state_on = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # The first thread is done before the others, which may hold a port still.
        is_done = state_on[0] == "Z" and len(os.listdir(f"/proc/{pid}/task")) == 1
    except (FileNotFoundError, ProcessLookupError):
        return "-"
    return "-" if is_done else state_on[19]
