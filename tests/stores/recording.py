# SPDX-License-Identifier: Apache-2.0
"""A service for tests of stores: a process of its own that records when it is told to, and tells what became of it."""

import json
import os
import select
import subprocess
import sys
import tempfile
from urllib.parse import unquote, urlsplit

from house.waiting import wait_until

# Far longer than anything takes here.
SECONDS = 120
MOST_LOG_BYTES = 1 << 24

PROGRAM = """
import json, logging, os, sys
from types import SimpleNamespace
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
from osprofiler import _native, notifier, profiler

conf = json.loads(sys.argv[2])
conf = {"conf": SimpleNamespace(profiler=SimpleNamespace(**conf))} if conf else {}
notifier.set(notifier.create(sys.argv[1], project="p", service="s", host="h", **conf))

def record(base_id, count, size):
    profiler.init("key", base_id)
    for number in range(count):
        with profiler.Trace("x", info={"a": f"{number:08d}" * (size // 8) if size else 1}):
            pass
    profiler.clean()

for line in sys.stdin:
    word, *arguments = json.loads(line)
    if word == "record":
        record(*arguments)
        print(json.dumps(_native.counters()), flush=True)
    elif word == "flush":
        print(json.dumps(_native.flush(*arguments)), flush=True)
    elif word == "say":
        # Delivery's thread never enters Python: what it has to say waits for somebody who does.
        _native.log_messages()
        print("null", flush=True)
    elif word == "fork":
        # A child of this very process, with the parent's connection open; it waits longer than an end does.
        base_id, count = arguments
        if os.fork() == 0:
            record(base_id, count, 0)
            _native.flush(120)
            sys.exit()
        _, status = os.wait()
        print(status, flush=True)
"""


class Service:
    """A process that records into a store for as long as the `with` block lasts."""

    def __init__(self, url: str, **options):
        """Start it. The options are those of `[profiler]`."""
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 -- it is there as long as this is
        # As it is written, and as it is meant.
        written = urlsplit(url.partition(",")[0]).password
        self.passwords = {written, unquote(written)} if written else set()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, url, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
        )

    def __enter__(self) -> "Service":
        """Return it."""
        return self

    def __exit__(self, *failed) -> None:
        """End it in good order, unless the test has, or has failed."""
        if failed and failed[0] is not None:
            self.process.kill()
            self.process.communicate()
        elif self.process.returncode is None:
            self.end()

    def end(self) -> str:
        """End it in good order; return what it logged, which no password is in."""
        self.process.communicate(timeout=2 * SECONDS)
        assert self.process.returncode == 0, self.log
        for password in self.passwords:
            assert password not in self.log
        return self.log

    @property
    def log(self) -> str:
        """What it has said so far."""
        # Its own place in the file stays where it is.
        return os.pread(self.said.fileno(), MOST_LOG_BYTES, 0).decode()

    def await_said(self, words: str) -> None:
        """Wait until it has said that: what was done to its store is seen."""
        wait_until(lambda: self._ask("say") or words in self.log, f"the service to say `{words}`", SECONDS)

    def record(self, base_id: str, points: int, size: int = 0) -> dict:
        """Record that many points of a trace, whatever the store does; return the counters.

        With a size each has a text of its own of so many bytes.
        """
        return self._ask("record", base_id, points, size)

    def flush(self, seconds: float = SECONDS) -> dict:
        """Wait until everything is stored or lost, at most that long; return the counters, which add up."""
        counters = self._ask("flush", seconds)
        assert counters["recorded"] == counters["stored"] + counters["lost"] + counters["waiting"]
        return counters

    def record_in_child(self, base_id: str, points: int) -> None:
        """Fork a child that records, and wait for its end."""
        assert self._ask("fork", base_id, points) == 0

    def _ask(self, *words):
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], 2 * SECONDS)
        assert ready, f"{words} was not answered"
        return json.loads(self.process.stdout.readline())
