# SPDX-License-Identifier: Apache-2.0
"""What runs while a body is sent is part of the request."""

import seen
from osprofiler import profiler

notifications = seen.collect()


def body():
    with profiler.Trace("inside"):
        yield b"body"


def application(environ, start_response):
    start_response("200 OK", [])
    return body()


seen.request(application, seen.headers({"base_id": "B"}))
names = [notification["name"] for notification in notifications]
expected = ["wsgi-start", "inside-start", "inside-stop", "wsgi-stop"]
seen.wanted(names == expected, f"recorded: {', '.join(names)}")
