# SPDX-License-Identifier: Apache-2.0
"""An HTTP request that fails ends its point."""

import contextlib

import requests as library
import seen
from osprofiler import profiler, requests

notifications = seen.collect()
requests.enable()
seen.trace("B")
with profiler.Trace("outer"):
    with contextlib.suppress(library.ConnectionError):
        library.get("http://127.0.0.1:1/")
    with profiler.Trace("later"):
        pass
(outer,) = seen.find(notifications, "outer-start")
(later,) = seen.find(notifications, "later-start")
seen.wanted(later["parent_id"] == outer["trace_id"], "the next point is recorded below the failed request")
(stop,) = seen.find(notifications, "http-stop")
seen.wanted("ConnectionError" in stop["info"]["etype"], "the request's error is not in its point")
