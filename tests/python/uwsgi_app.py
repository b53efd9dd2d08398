# SPDX-License-Identifier: Apache-2.0
"""The service that test_uwsgi.py runs: `/work` makes points, `/wait` waits inside one for its gate, `/counters` tells.

In: the store in TRACE_STORE, a FIFO in TRACE_GATE. The middleware is ours, as api-paste would put it there.
"""

import json
import logging
import os
import urllib.parse

from osprofiler import _native, notifier, profiler, web

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
notifier.set(notifier.create(os.environ["TRACE_STORE"], project="tests", service="uwsgi"))


def _work(count):
    with profiler.Trace("work"):
        for _ in range(count):
            with profiler.Trace("step", info={"text": "x" * 1000}):
                pass
    return "worked"


def _wait():
    with profiler.Trace("wait"):
        # Opening it waits for the test, and reading for the test to close it.
        with open(os.environ["TRACE_GATE"]) as gate:
            gate.read()
        with profiler.Trace("after"):
            pass
    return "waited"


def _serve(environ, start_response):
    query = urllib.parse.parse_qs(environ["QUERY_STRING"])
    body = {
        "/work": lambda: _work(int(query.get("count", ["1"])[0])),
        "/wait": _wait,
        "/counters": lambda: json.dumps({**_native.flush(float(query.get("seconds", ["5"])[0])), "pid": os.getpid()}),
    }[environ["PATH_INFO"]]()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body.encode()]


application = web.WsgiMiddleware(_serve, hmac_keys="key", enabled="true")
