# SPDX-License-Identifier: Apache-2.0
"""What the scripts of this folder say with: the symptom and status 1, or nothing and status 0.

They run under the interpreter of any osprofiler, so they use its public names alone. In: the connection string of a
store in the environment, where one is needed. Out: the first symptom that is seen, on standard output.
"""

import contextlib
import os
import sys

from osprofiler import notifier, profiler

KEY = "key"


def wanted(is_seen, symptom):
    """End with the symptom unless the wanted is seen."""
    if not is_seen:
        end(symptom)


def end(symptom):
    """Say the symptom and end, whatever the process has still open."""
    print(symptom, flush=True)
    os._exit(1)


@contextlib.contextmanager
def unharmed(what):
    """End with the exception that leaves the block: the traced program never fails because of its tracing."""
    try:
        yield
    except BaseException as error:
        end(f"{what}: {type(error).__module__}.{type(error).__qualname__}: {error}")


def collect():
    """Return a list that gets each notification of this process."""
    notifications = []
    notifier.set(notifications.append)
    return notifications


def store():
    """Send this process's notifications to the store that the test names, and return its connection string."""
    from osprofiler import opts  # noqa: F401  upstream's drivers want the options registered

    connection_string = os.environ["DEFECT_STORE"]
    made = notifier.create(connection_string, project="defects", service="defect", host="host")
    wanted(made is not notifier._noop_notifier, f"there is no driver for {connection_string}")
    notifier.set(made)
    return connection_string


def trace(base_id="4e3e0ec6-2938-40b1-8504-09eb1d4b0dee"):
    """Begin a trace."""
    return profiler.init(KEY, base_id)


def find(notifications, name):
    """Return the notifications of that name."""
    return [notification for notification in notifications if notification["name"] == name]


def headers(data, key=KEY):
    """Return a WSGI environment with signed trace headers."""
    from osprofiler import _utils

    info, hmac = _utils.signed_pack(data, key)
    return environ(info.decode(), hmac)


def environ(info, hmac):
    """Return a WSGI environment with trace headers."""
    from wsgiref.util import setup_testing_defaults

    made = {"HTTP_X_TRACE_INFO": info, "HTTP_X_TRACE_HMAC": hmac}
    setup_testing_defaults(made)
    return made


def request(application, environ):
    """Ask an application behind the middleware; return the status and the body."""
    from osprofiler import web

    statuses = []
    middleware = web.WsgiMiddleware(application, hmac_keys=KEY, enabled=True)
    body = middleware(environ, lambda status, headers, exc_info=None: statuses.append(status))
    try:
        content = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    return statuses[-1], content


def answer(environ, start_response):
    """Say hello."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


if __name__ == "__main__":
    sys.exit("this is no defect")
