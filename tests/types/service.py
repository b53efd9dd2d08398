# SPDX-License-Identifier: Apache-2.0
"""A service that uses the package's types, checked by mypy and never run.

Each line that has to be refused says by what; mypy refuses, too, a line that says so and is right.
"""

import concurrent.futures
import threading
from collections.abc import Iterable
from typing import Any

from osprofiler import context, exc, initializer, notifier, opts, profiler, web
from osprofiler.asgi import AsgiMiddleware
from osprofiler.drivers import base


@profiler.trace("sum", info={"kind": "example"})
def add(a: int, b: int) -> int:
    """Keep its type, traced."""
    return a + b


@profiler.trace_cls("rpc", hide_args=True)
class Manager:
    """Keep its type, too."""

    def create(self, name: str) -> str:
        """Return what was made."""
        return f"created {name}"


class Memory(base.Driver):
    """A driver of one's own."""

    def notify(self, info: dict[str, Any], **kwargs: Any) -> None:
        """Forget."""


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Serve."""
    return [Manager().create(str(add(1, b=2))).encode()]


async def asynchronous(scope: Any, receive: Any, send: Any) -> None:
    """Serve nothing."""


def start(conf: Any) -> None:
    """Set everything up."""
    opts.set_defaults(conf, enabled=True, hmac_keys="SECRET")
    initializer.init_from_conf(conf, project="shop", service="shop-api")
    notifier.set(notifier.create("sqlite:///traces.db", project="shop"))
    web.WsgiMiddleware.factory({}, hmac_keys="SECRET")(application)
    AsgiMiddleware(asynchronous, hmac_keys=["SECRET"], enabled=True)
    headers: dict[str, str] = web.get_trace_id_headers()
    pool: concurrent.futures.ThreadPoolExecutor = context.carry_executor(concurrent.futures.ThreadPoolExecutor())
    pool.submit(context.carry(add), 1, 2)
    threading.Thread(target=context.carry(add), args=(len(headers), 2))


def report(trace_id: str) -> list[str]:
    """Return the names of a trace's outermost points."""
    try:
        return [child["info"]["name"] for child in base.get_driver("sqlite://").get_report(trace_id)["children"]]
    except exc.CommandError as error:
        return [str(error.message)]


def unreachable() -> OSError:
    """Return what is caught as any failure of a server."""
    return exc.LogInsightAPIError("the server cannot be reached")


def refused() -> None:
    """Be wrong in each line."""
    add("1", 2)  # type: ignore[arg-type]
    Manager().create(1)  # type: ignore[arg-type]
    context.carry(add)(1, "2")  # type: ignore[arg-type]
    notifier.create(1)  # type: ignore[arg-type]
    notifier.set(None)  # type: ignore[arg-type]
    web.enable(3)  # type: ignore[arg-type]
    web.get_trace_id_headers(1)  # type: ignore[call-arg]
    opts.set_defaults(None, enable=True)  # type: ignore[call-arg]
    base.get_driver("sqlite://").list_traces(5)  # type: ignore[arg-type]
    AsgiMiddleware(application)  # type: ignore[arg-type]
    _ = profiler.starts  # type: ignore[attr-defined]
