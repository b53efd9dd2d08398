# SPDX-License-Identifier: Apache-2.0
"""The service that real servers run: `/work` makes points, `/wait` waits inside one for its gate, `/counters` tells.

In: the store in TRACE_STORE, a Unix socket in TRACE_GATE. The middleware is ours, as api-paste would put it there.
"""

import json
import logging
import os
import socket
import urllib.parse

from osprofiler import _native, notifier, profiler, web

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
notifier.set(notifier.create(os.environ["TRACE_STORE"], project="tests", service="served"))


def _work(count):
    with profiler.Trace("work"):
        for _ in range(count):
            with profiler.Trace("step", info={"text": "x" * 1000}):
                pass
    return "worked"


def _wait():
    with profiler.Trace("wait"):
        with socket.socket(socket.AF_UNIX) as gate:
            gate.connect(os.environ["TRACE_GATE"])
            # Ends when the test closes its end.
            gate.recv(1)
        with profiler.Trace("after"):
            pass
    return "waited"


def _serve(environ, start_response):
    query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""))
    body = {
        "/work": lambda: _work(int(query.get("count", ["1"])[0])),
        "/wait": _wait,
        "/counters": lambda: json.dumps({**_native.flush(float(query.get("seconds", ["5"])[0])), "pid": os.getpid()}),
    }[environ["PATH_INFO"]]()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body.encode()]


application = web.WsgiMiddleware(_serve, hmac_keys="key", enabled="true")
