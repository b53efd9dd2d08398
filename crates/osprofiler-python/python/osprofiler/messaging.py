# SPDX-License-Identifier: Apache-2.0
"""RPC of oslo.messaging in the trace, for services that do nothing about it themselves.

In: ``enable``, and calls. Out: the library's answers and errors, as they were; inside a trace, a point ``rpc`` round
each call, cast and fanout that goes out, and one round each method that is called. The place goes along in the context
on the wire, as ``trace_info``, where services that carry it through their own serializers put it and look for it: both
kinds understand each other. A service of that kind may enable this, too, and nothing is recorded twice.
"""

import functools
import importlib
import logging
import sys

from osprofiler import _libraries, _native, profiler

LOG = logging.getLogger(__name__)

# Where the place stands in a context on the wire, and what it consists of.
_KEY = "trace_info"
_MEMBERS = ("hmac_key", "base_id", "parent_id")

# The original functions, once it is enabled.
_SEND = None
_DISPATCH = None
_enabled = False


def enable():
    """Make each RPC of the process a point, at both ends. Calling it again changes nothing.

    A call's point tells ``rpc.kind`` (``call``, ``cast``, ``fanout``), ``rpc.topic``, ``rpc.server`` and
    ``function.name``, the method; a called method's tells ``function.name``. Arguments are not recorded. A method that
    is traced already, by ``profiler.trace_cls`` for instance, gets no second point, nor does a call into which the
    service has put the place itself.

    Whoever sends gets the trace's key along, as with the services' own serializers: the message bus is trusted.

    Where ``oslo.messaging`` is not installed, one warning says so. Outside of a trace, a call costs about 0.3 us and a
    called method about 0.4 us.

    >>> from osprofiler import messaging
    >>> messaging.enable()
    """
    global _SEND, _enabled
    if _libraries.library("oslo_messaging", "calls over RPC", extra="messaging") is None:
        return
    transport = importlib.import_module("oslo_messaging.transport").Transport
    if _SEND is None:
        _SEND = transport._send
        functools.update_wrapper(_send, _SEND)
    if transport._send is _SEND:
        transport._send = _send
    _keep_workers_apart(importlib.import_module("oslo_messaging.rpc.dispatcher"))
    _enabled = True
    LOG.debug("calls over RPC are traced")


def keep_workers_apart():
    """Let no called method be in the trace of what its worker did before; ``init_from_conf`` does this for services.

    A service's own serializer enters a trace and nobody leaves it, so a later call that isn't traced, on the same
    worker, would be recorded in a trace that is finished. Does nothing where ``oslo.messaging`` is not in use. Calling
    it again changes nothing; a called method costs about 0.4 us more.

    >>> from osprofiler import messaging
    >>> messaging.keep_workers_apart()
    """
    dispatcher = sys.modules.get("oslo_messaging.rpc.dispatcher")
    if dispatcher is not None:
        _keep_workers_apart(dispatcher)


def _keep_workers_apart(module):
    global _DISPATCH
    if _DISPATCH is None:
        _DISPATCH = module.RPCDispatcher.dispatch
        functools.update_wrapper(_dispatch, _DISPATCH)
    if module.RPCDispatcher.dispatch is _DISPATCH:
        module.RPCDispatcher.dispatch = _dispatch


def disable():
    """Make no further RPC a point."""
    global _enabled
    _enabled = False


def _send(self, target, ctxt, message, *args, **kwargs):
    """Send a call inside a point, which is its parent at the other end."""
    point = None
    # A service that puts the place there itself has points of its own.
    if _enabled and profiler.get() is not None and isinstance(ctxt, dict) and _KEY not in ctxt:
        kind = "fanout" if target.fanout else "call" if kwargs.get("wait_for_reply") else "cast"
        rpc = {"kind": kind, "topic": target.topic, "server": target.server}
        point = _open_point({"rpc": rpc, "function": {"name": message.get("method")}})
        ctxt = {**ctxt, **_outgoing_place()}
    try:
        answer = _SEND(self, target, ctxt, message, *args, **kwargs)
    except BaseException as error:
        _native.hide_frame(error)
        _close_point(point, error)
        raise
    _close_point(point)
    return answer


def _open_point(info):
    point = profiler.Trace("rpc", info=info)
    point.__enter__()
    return point


def _close_point(point, error=None):
    if point is None:
        return
    if error is None:
        point.__exit__(None, None, None)
    else:
        point.__exit__(type(error), error, error.__traceback__)


def _outgoing_place():
    """Return what to add to a context; nothing where a member is of a type that no message may carry."""
    current = profiler.get()
    members = (current.hmac_key, current.get_base_id(), current.get_id())
    if not all(isinstance(member, (str, type(None))) for member in members):
        return {}
    return {_KEY: dict(zip(_MEMBERS, members, strict=True))}


def _dispatch(self, incoming):
    """Run the called method in the place that its message names, and leave the worker as it was."""
    # Without an open point it is what the worker has left over from a trace that is finished.
    around = _native.open_context()
    point = joined = None
    try:
        joined = _take_place(incoming) if _enabled else None
        _native.enter_context(around if joined is None else None)
        if joined is not None:
            profiler.init(**joined)
            point = _called_point(self, incoming)
        result = _DISPATCH(self, incoming)
        _close_point(point)
        return result
    except BaseException as error:
        _native.hide_frame(error)
        _close_point(point, _raised(error))
        raise
    finally:
        if around is None or joined is not None:
            profiler.clean()
        _native.enter_context(around)


def _called_point(dispatcher, incoming):
    method = str(incoming.message.get("method"))
    function = next((getattr(each, method) for each in dispatcher.endpoints if hasattr(each, method)), None)
    # Where a subclass is traced, its parent's functions are marked too; only what calls another is a point.
    if getattr(function, "__traced__", 0) and hasattr(function, "__wrapped__"):
        return None
    return _open_point({"function": {"name": getattr(function, "__qualname__", method)}})


def _raised(error):
    """Return what a method has raised: oslo.messaging wraps what the method says that it may raise."""
    expected = sys.modules["oslo_messaging.rpc.dispatcher"].ExpectedException
    return error.exc_info[1] if isinstance(error, expected) else error


def _take_place(incoming):
    """Take the place out of a message's context, and return it as the arguments of ``profiler.init``, if it is one."""
    context = incoming.ctxt
    if not isinstance(context, dict) or _KEY not in context:
        return None
    # Others may get the same object: a fanout within one process does that.
    incoming.ctxt = {name: value for name, value in context.items() if name != _KEY}
    place = context[_KEY]
    if not isinstance(place, dict) or not set(place) <= set(_MEMBERS):
        return None
    base_id, parent_id = place.get("base_id"), place.get("parent_id")
    if not base_id or not isinstance(base_id, str) or not isinstance(parent_id, (str, type(None))):
        return None
    return {"hmac_key": None, **place}
