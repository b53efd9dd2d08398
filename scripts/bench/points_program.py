# SPDX-License-Identifier: Apache-2.0
"""What a trace point costs its caller: run by both interpreters, with our package and with upstream's.

    python points_program.py CONNECTION_STRING CALLS_ON

prints one JSON object: `costs`, nanoseconds a turn of the case's loop by case, one figure a round; `traces`, what
each round that recorded must have left in the store, notifications by base id. The calls that record are CALLS_ON a
round; where a store takes them in the background, it gets the time between two rounds, and the process ends only when
it has them.
"""

import contextlib
import json
import sys
import threading
import time
import uuid

from osprofiler import notifier, opts, profiler

ROUNDS = 9
CALLS_OFF = 100_000
STATEMENT = "SELECT 1"
EMPTY = b""

# Upstream's stores ask for options that this registers.
opts.list_opts()
connection_string, calls_on = sys.argv[1], int(sys.argv[2])


class Manager:
    """What services trace: methods with an argument or two."""

    def plain(self, volume, size=1):
        """Return something."""
        return size

    @profiler.trace("rpc")
    def traced(self, volume, size=1):
        """Return something."""
        return size

    @profiler.trace("rpc", hide_args=True)
    def hidden(self, volume, size=1):
        """Return something."""
        return size


manager = Manager()


def loop(calls):
    """Do nothing that often."""
    for _ in range(calls):
        pass


def plain(calls):
    """Call what is not traced."""
    call = manager.plain
    for _ in range(calls):
        call("volume-1", size=17)


def traced(calls):
    """Call what is traced."""
    call = manager.traced
    for _ in range(calls):
        call("volume-1", size=17)


def hidden(calls):
    """Call what is traced without its arguments."""
    call = manager.hidden
    for _ in range(calls):
        call("volume-1", size=17)


def empty_with(calls):
    """Enter and leave an object made in C, and make the dict."""
    for _ in range(calls):
        info = {"statement": STATEMENT}  # noqa: F841
        with memoryview(EMPTY):
            pass


def trace_with(calls):
    """Enter and leave a point."""
    for _ in range(calls):
        with profiler.Trace("db", info={"statement": STATEMENT}):
            pass


def measure(function, calls):
    """Return nanoseconds a call, the loop's own with it."""
    started = time.perf_counter_ns()
    function(calls)
    return (time.perf_counter_ns() - started) / calls


@contextlib.contextmanager
def trace_elsewhere():
    """Keep another thread in a trace."""
    ready, done = threading.Event(), threading.Event()

    def hold():
        profiler.init("key", base_id=str(uuid.uuid4()))
        ready.set()
        done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait()
    yield
    done.set()
    thread.join()


def settle():
    """Let a store that takes notifications in the background have what there is."""
    try:
        from osprofiler._native import flush
    except ImportError:
        return
    flush(120)


def main():
    """Measure all cases, round by round."""
    costs, traces = {}, {}
    off = {
        "loop": loop,
        "plain": plain,
        "traced off": traced,
        "hidden off": hidden,
        "empty with": empty_with,
        "with off": trace_with,
    }
    # As while another request of the process is traced: here there is no trace, but there is one to ask for.
    elsewhere = {"traced beside": traced, "with beside": trace_with}
    on = {"traced on": traced, "hidden on": hidden, "with on": trace_with}
    profiler.clean()
    notifier.set(notifier.create(connection_string, project="bench", service="points"))
    for _ in range(ROUNDS):
        for name, function in off.items():
            costs.setdefault(name, []).append(measure(function, CALLS_OFF))
        with trace_elsewhere():
            for name, function in elsewhere.items():
                costs.setdefault(name, []).append(measure(function, CALLS_OFF))
        for name, function in on.items():
            base_id = str(uuid.uuid4())
            profiler.init("key", base_id=base_id)
            costs.setdefault(name, []).append(measure(function, calls_on))
            profiler.clean()
            traces[base_id] = 2 * calls_on
            settle()
    print(json.dumps({"costs": costs, "traces": traces}))


main()
