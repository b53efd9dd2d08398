# SPDX-License-Identifier: Apache-2.0
"""Whatever is given to a function of the package, the traced code returns what it returns and raises what it raises.

A row of `USES` is one argument of one function, with the traced code around or inside; each runs with every value of
`ODD`, inside a trace and outside of any, and into a store and a callable.
"""

import asyncio
import contextlib
import subprocess
import sys

import pytest
from oslo_config import cfg
from osprofiler import _native, _utils, asgi, context, initializer, notifier, opts, profiler, web
from osprofiler.drivers import base


class Hostile:
    """Raises whatever is asked of it."""

    def refuse(self, *args, **kwargs):
        raise RuntimeError("no")

    __getattr__ = __str__ = __repr__ = __bool__ = __len__ = __iter__ = __eq__ = __hash__ = __call__ = refuse
    __getitem__ = __contains__ = __int__ = __index__ = __float__ = __bytes__ = __fspath__ = __format__ = refuse
    copy = keys = items = __enter__ = __exit__ = __copy__ = __deepcopy__ = __reduce_ex__ = __add__ = refuse


class HostileError(Exception):
    """An error that cannot be shown."""

    __str__ = __repr__ = Hostile.refuse


class HostileDict(dict):
    """A dict that cannot be read."""

    __getitem__ = __iter__ = keys = items = values = get = copy = update = __contains__ = Hostile.refuse


ENDLESS = []
ENDLESS.append(ENDLESS)

ODD = {
    "nothing": None,
    "number": 5,
    "not a number": float("nan"),
    "bytes": b"\xff",
    "surrogate": "\ud800",
    "long text": "x" * 3_000_000,
    "zero": "a\0b",
    "list": [1, {2: 3}],
    "dict of odd keys": {1: 2, None: {}, (3,): object()},
    "set": {1},
    "endless": ENDLESS,
    "object": object(),
    "class": int,
    "function": lambda: None,
    "generator": (number for number in [1]),
    "error": HostileError(),
    "hostile dict": HostileDict(a=1),
    "hostile": Hostile(),
}


def work(*args, **kwargs):
    """Return what was given first, and count that it ran."""
    work.ran += 1
    return args[0] if args else "result"


def start(name="x", info=None):
    profiler.start(name, info)
    return work()


def start_by_name(odd):
    profiler.start("x", info=odd)
    return work()


def stop(odd):
    profiler.start("x")
    try:
        return work()
    finally:
        profiler.stop(odd)


def with_trace(*args):
    with profiler.Trace(*args):
        return work()


def with_profiler(odd):
    made = profiler._Profiler(odd, odd, odd)
    made.start(odd, odd)
    made.stop(odd)
    return work()


def init(odd):
    profiler.clean()
    profiler.init(odd, odd, odd)
    with profiler.Trace("x"):
        assert isinstance(web.get_trace_id_headers(), dict)
        return work()


def init_key(odd):
    profiler.clean()
    profiler.init(odd, "B", "P")
    with profiler.Trace("x"):
        assert isinstance(web.get_trace_id_headers(), dict)
        return work()


def traced(odd, **arguments):
    return profiler.trace("x", **arguments)(work)(odd, key=odd) is odd and "result"


def traced_class(odd, **arguments):
    class Traced:
        def method(self, *args, **kwargs):
            return work(*args, **kwargs)

    return profiler.trace_cls("x", **arguments)(Traced)().method(odd, key=odd) is odd and "result"


def traced_error(odd):
    """Raise an error that holds the value, and is itself hard to show."""
    error = HostileError(odd)

    @profiler.trace("x", hide_result=False)
    def fail():
        work()
        raise error

    try:
        fail()
    except HostileError as raised:
        return raised is error and "result"


def traced_coroutine(odd):
    @profiler.trace("x", hide_result=False)
    async def later(value):
        return work(value)

    return asyncio.run(later(odd)) is odd and "result"


def traced_generator(odd):
    @profiler.trace("x", hide_result=False)
    def generate(value):
        yield work(value)

    return next(generate(odd)) is odd and "result"


def notified(odd):
    notifier.set(odd)
    with profiler.Trace("x"):
        return work()


def notify(odd):
    with contextlib.suppress(Exception):
        # Called by hand, a callable's errors are the caller's.
        notifier.notify(odd)
    return work()


def created(odd):
    notifier.set(notifier.create(odd, odd, project=odd, service=odd, host=odd, conf=odd))
    with profiler.Trace("x"):
        return work()


def initialized(odd):
    conf = cfg.ConfigOpts()
    # A folder never becomes a file, so nothing waits.
    opts.set_defaults(conf, enabled=True, connection_string="file:///dev")
    conf([])
    initializer.init_from_conf(conf, context=odd, project=odd, service=odd, host=odd, contex=odd, other=odd)
    with profiler.Trace("x"):
        return work()


def carried(odd):
    return context.carry(work)(odd, key=odd) is odd and "result"


def carried_by(odd):
    context.carry_executor(odd)
    return work()


def served(odd):
    """Serve a request whose every header and variable is odd."""
    middleware = web.WsgiMiddleware(lambda environ, start_response: [work()], "key", enabled=True, other=odd)
    names = "HTTP_X_TRACE_INFO HTTP_X_TRACE_HMAC PATH_INFO SCRIPT_NAME QUERY_STRING REQUEST_METHOD wsgi.url_scheme"
    return middleware(dict.fromkeys(names.split(), odd), lambda *args: None)[0]


def served_by_asgi(odd):
    """Serve a connection whose scope is odd, and whose answer is, too."""

    async def app(scope, receive, send):
        await send(odd)
        return work()

    async def serve(headers):
        sent = []

        async def send(message):
            sent.append(message)

        scope = dict.fromkeys(("path", "raw_path", "query_string", "method", "scheme"), odd)
        await asgi.AsgiMiddleware(app, "key", enabled=True)({"type": "http", "headers": headers, **scope}, None, send)
        assert sent == [odd] or sent[0] is odd

    info, hmac = _utils.signed_pack({"base_id": "B"}, "key")
    asyncio.run(serve([(b"x-trace-info", info), (b"x-trace-hmac", hmac.encode())]))
    work.ran = 0
    asyncio.run(serve(odd))
    return "result"


def keyed(odd):
    web.enable([odd])
    middleware = web.WsgiMiddleware(lambda environ, start_response: [work()], [odd], enabled=True)
    environ = {"HTTP_X_TRACE_INFO": "e30=", "HTTP_X_TRACE_HMAC": "0" * 40}
    return middleware(environ, lambda *args: None)[0]


USES = {
    "start, name": start,
    "start, info": lambda odd: start("x", odd),
    "start, info by name": start_by_name,
    "stop, info": stop,
    "Trace, name": with_trace,
    "Trace, info": lambda odd: with_trace("x", odd),
    "_Profiler": with_profiler,
    "init": init,
    "init, hmac_key": init_key,
    "trace, arguments and result": lambda odd: traced(odd, hide_result=False),
    "trace, name": lambda odd: profiler.trace(odd)(work)(),
    "trace, values of info": lambda odd: traced(odd, info={"odd": odd, "function": odd}),
    "trace, hide_args": lambda odd: traced(odd, hide_args=odd),
    "trace, hide_result": lambda odd: traced(odd, hide_result=odd),
    "trace, error": traced_error,
    "trace, coroutine": traced_coroutine,
    "trace, generator": traced_generator,
    "trace_cls, arguments and result": traced_class,
    "trace_cls, values of info": lambda odd: traced_class(odd, info={"odd": odd}),
    "trace_cls, hide_args": lambda odd: traced_class(odd, hide_args=odd),
    "notifier.set": notified,
    "notifier.notify": notify,
    "notifier.create": created,
    "init_from_conf": initialized,
    "carry": carried,
    "carry_executor": carried_by,
    "WsgiMiddleware, environ": served,
    "WsgiMiddleware, hmac_keys": keyed,
    "AsgiMiddleware, scope": served_by_asgi,
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """Return the driver of a store."""
    yield base.get_driver(f"file://{tmp_path_factory.mktemp('store') / 'trace'}", project="p", service="odd")
    assert _native.flush(60)["waiting"] == 0


@pytest.fixture(params=["a callable", "a store"])
def notifying(request, driver):
    """Return nothing; points go to a callable, and to a store."""
    notifier.clear_notifier_cache()
    notifier.set(driver.notify if request.param == "a store" else lambda info: None)
    yield
    notifier.clear_notifier_cache()
    notifier.set(notifier._noop_notifier)


@pytest.fixture(autouse=True)
def own_settings(monkeypatch):
    """Leave the process's settings of the middleware as they are, and what dispatches RPC."""
    monkeypatch.setattr(web, "_ENABLED", None)
    monkeypatch.setattr(web, "_HMAC_KEYS", None)
    monkeypatch.delitem(sys.modules, "oslo_messaging.rpc.dispatcher", raising=False)


@pytest.mark.parametrize("is_tracing", [False, True], ids=["no trace", "a trace"])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_no_argument_changes_what_traced_code_does(notifying, use, odd, is_tracing):
    profiler.clean()
    if is_tracing:
        profiler.init("key", "B", "P")
    work.ran = 0
    try:
        assert use(odd) == "result"
    finally:
        profiler.clean()
    assert work.ran == 1


NAMED_TOO_LONG = """
import logging
from osprofiler import _native, notifier, profiler

logging.basicConfig(format="%(levelname)s %(message)s")
recorded = []
profiler.init("key", "x" * 256)
profiler.clean()
notifier.set(lambda info: recorded.append(info))
for base_id, parent_id in (("x" * 255, None), ("x" * 256, None), ("B", "x" * 256)):
    profiler.init("key", base_id, parent_id)
    with profiler.Trace("work"):
        pass
    profiler.clean()
assert {info["base_id"] for info in recorded} == {"x" * 255}, recorded
assert _native.counters()["traces_without_id"] == 2, _native.counters()
"""


def test_a_trace_whose_id_is_too_long_is_told_once():
    """In a process of its own: what is told once was perhaps told in this one."""
    ended = subprocess.run(
        [sys.executable, "-c", NAMED_TOO_LONG], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    told = [line for line in ended.stderr.splitlines() if "longer than 255 bytes" in line]
    assert len(told) == 1, ended.stderr
    assert told[0].startswith("WARNING nothing of a trace is recorded"), told
