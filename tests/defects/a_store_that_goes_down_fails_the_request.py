# SPDX-License-Identifier: Apache-2.0
"""A request is served whatever becomes of the store: down before it, or gone in the middle of it."""

import os
import subprocess

import seen

seen.store()


def application(environ, start_response):
    # Once a trace has been started there, the store goes away.
    subprocess.run(os.environ["DEFECT_BREAK"], shell=True, check=True)
    return seen.answer(environ, start_response)


for app in (application, seen.answer):
    with seen.unharmed("the request failed"):
        status, body = seen.request(app, seen.headers({"base_id": "B", "parent_id": "P"}))
    seen.wanted((status, body) == ("200 OK", b"hello"), f"answered {status}")
