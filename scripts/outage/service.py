# SPDX-License-Identifier: Apache-2.0
"""A service that records when it is told to, in a process of its own, and says what that cost its requests.

In: a connection string, the options of `[profiler]`, and words. Out: its counters, the longest that a request took for
recording, and the most memory it has had.
"""

import contextlib
import json
import select
import subprocess
import tempfile
import threading
from pathlib import Path

from house.failure import Failure

# Far longer than anything takes that is not a real outage.
ANSWER_SECONDS = 120

PROGRAM = """
import json, logging, sys, time
from types import SimpleNamespace
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
from osprofiler import _native, notifier, profiler

conf = SimpleNamespace(profiler=SimpleNamespace(**json.loads(sys.argv[2])))
notifier.set(notifier.create(sys.argv[1], project="p", service="s", host="h", conf=conf))
longest = 0.0
number = 0

def request(base_id, text):
    global longest, number
    begin = time.perf_counter()
    profiler.init("key", base_id)
    with profiler.Trace("wsgi", info={"request": {"path": f"/{number}"}}):
        for statement in range(4):
            with profiler.Trace("db", info={"db": {"statement": f"select {number}.{statement} {text}"}}):
                pass
    profiler.clean()
    longest = max(longest, time.perf_counter() - begin)
    number += 1

def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))

for line in sys.stdin:
    word, *arguments = json.loads(line)
    answer = None
    if word == "record":
        base_id, requests, text_bytes = arguments
        for _ in range(requests):
            request(base_id, "x" * text_bytes)
        answer = _native.counters()
    elif word == "work":
        base_id, seconds, requests_a_second = arguments
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            request(base_id, "x" * 100)
            time.sleep(1 / requests_a_second)
        answer = _native.counters()
    elif word == "pass":
        _native.let_time_pass(*arguments)
    elif word == "flush":
        answer = _native.flush(*arguments)
    elif word == "end":
        _native.end()
        answer = _native.counters()
    elif word == "forget peak":
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        longest = 0.0
        answer = memory("VmRSS")
    elif word == "facts":
        answer = {"longest_seconds": longest, "peak_kib": memory("VmHWM")}
    print(json.dumps(answer), flush=True)
"""


# Those that are under way, and whether that is over for all; none starts between a look at both.
_running: set["Service"] = set()
_over = threading.Event()
_starting = threading.Lock()


def kill_all() -> None:
    """End all services at once, and let none start; whoever waits for one fails."""
    with _starting:
        _over.set()
        running = list(_running)
    for service in running:
        service.process.kill()


def fail_if_over() -> None:
    """Fail if all services were ended, so that nothing is started for one any more."""
    if _over.is_set():
        raise Failure("it was interrupted")


class Service:
    """A process that records into a store for as long as the `with` block lasts; `log` is what it said, at its end."""

    def __init__(self, python: str | Path, url: str, options: dict):
        """Start it with the options of `[profiler]`."""
        self.log = ""
        # Nobody reads it meanwhile, and a pipe would be full at some time.
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 -- it is there as long as this is
        with _starting:
            fail_if_over()
            self.process = subprocess.Popen(
                [python, "-c", PROGRAM, url, json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.said,
                text=True,
            )
            _running.add(self)

    def __enter__(self) -> "Service":
        """Return it."""
        return self

    def __exit__(self, failed, *_) -> None:
        """End it in good order, or, where something went wrong, at once."""
        _running.discard(self)
        if failed is None:
            self.end()
        elif self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def end(self) -> None:
        """End it as services end."""
        if self.process.poll() is not None:
            return
        try:
            self.process.communicate(timeout=ANSWER_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure("the service did not end") from None
        self.said.seek(0)
        self.log = self.said.read().decode()
        if self.process.returncode != 0:
            raise Failure(f"the service ended with status {self.process.returncode}: {self.log}")

    def ask(self, *words, seconds: float = 0):
        """Have it do something that may last so many seconds beside what anything takes; return its answer."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(words) + "\n")
            self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], ANSWER_SECONDS + seconds)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            raise Failure(f"the service did not answer `{words[0]}`")
        return json.loads(line)
