# SPDX-License-Identifier: Apache-2.0
"""`make demo` to its end: what it says that it wrote is there, what it says to try can be tried, and nothing stays.

The wheel is the one that this run has built; everything else is as a person has it.
"""

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from house.places import CLONE, DEMO
from house.waiting import wait_until

SECONDS = 900
PROGRAM = """
import sys
from house import build
build.wheel = lambda log: build.newest_wheel()
from demo.__main__ import main
from house.ending import framed
sys.exit(framed(main))
"""
HOLD = "from demo import keeping; keeping.hold(keeping.chosen({is_asked}), 'redis'); print('over')"
# What is typed after what ended it is still there to be read.
HOLD_AND_READ = f"{HOLD}; print(input()[::-1])"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CLONE / "scripts"), str(CLONE / "tests")])}


def left_running() -> list[str]:
    """Return the commands of what runs out of the demo's folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if str(DEMO) in words:
            found.append(words)
    return found


@pytest.fixture
def demo(tmp_path):
    """Return a function that begins the demo; what it says goes to the file `said`."""
    begun = []

    def begin(*arguments: str) -> subprocess.Popen:
        with (tmp_path / "said").open("w") as said:
            words = [sys.executable, "-c", PROGRAM, *arguments]
            begun.append(
                subprocess.Popen(
                    words, cwd=CLONE, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
                )
            )
        return begun[-1]

    yield begin
    for each in begun:
        each.terminate()
        each.wait(SECONDS)


def test_what_it_says_is_there_and_can_be_tried(demo, tmp_path):
    """With a server that is kept: the page and the JSON are of this trace, each command works, and Ctrl-C ends all."""
    for form in ("html", "json"):
        (DEMO / f"report.{form}").unlink(missing_ok=True)
    running, said = demo("--store", "redis", "--keep"), tmp_path / "said"
    ends = "redis runs until then: press Ctrl-C to end it"
    wait_until(lambda: ends in said.read_text() or running.poll() is not None, "the demo to be kept", SECONDS, said)
    assert running.poll() is None, said.read_text()
    text = said.read_text()
    (trace_id,) = set(re.findall(r"Trace ID: (\S+)", text))
    report = (DEMO / "report.json").read_text()
    assert trace_id in report
    assert json.loads(report)["stats"]["wsgi"]["count"] > 1
    tried, env = 0, dict(os.environ)
    for line in text.partition("what to try next")[2].splitlines():
        words = shlex.split(line) if line.startswith(("  export ", "  .demo/")) else []
        if words[:1] == ["export"]:
            name, _, value = words[1].partition("=")
            env[name] = value
        elif words:
            if "-o" in words:
                words[-1] = str(tmp_path / words[-1])
            done = subprocess.run(words, cwd=CLONE, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            tried += 1
    assert tried == 4
    # The page is of this trace: the command that names the trace makes the same.
    assert (tmp_path / "report.html").read_bytes() == (DEMO / "report.html").read_bytes()
    running.send_signal(signal.SIGINT)
    assert running.wait(SECONDS) == 0, said.read_text()
    assert "nothing was left running" in said.read_text()
    # A process that was ended is gone when its parent has been told.
    wait_until(lambda: left_running() == [], "what ran for the demo to be gone", SECONDS)


def test_at_a_terminal_enter_ends_it():
    """A person who has seen enough presses it; nobody has to know of `--keep`."""
    near, far = pty.openpty()
    words = [sys.executable, "-c", HOLD_AND_READ.format(is_asked=False)]
    env = ENVIRONMENT | {"TERM": "xterm"}
    with subprocess.Popen(words, env=env, stdin=far, stdout=far, stderr=far) as waiting:
        os.close(far)
        said = b""
        while b"press Enter to end it" not in said:
            said += os.read(near, 1000)
        assert waiting.poll() is None
        os.write(near, b"\nrest\n")
        # Backwards: the terminal shows what is typed whether or not somebody reads it.
        while b"tser" not in said:
            said += os.read(near, 1000)
        assert waiting.wait(SECONDS) == 0
    os.close(near)


def test_where_nobody_sits_it_ends_at_once():
    """In a pipe there is nobody to press anything."""
    words = [sys.executable, "-c", HOLD.format(is_asked=False)]
    done = subprocess.run(words, env=ENVIRONMENT, input="", capture_output=True, text=True, check=True)
    assert done.stdout == "over\n"
