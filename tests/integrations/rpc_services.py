# SPDX-License-Identifier: Apache-2.0
"""Two kinds of services on RPC: one that does nothing about tracing, and one that carries its place by its serializer.

The second kind does what Nova, Cinder and Neutron do: its serializer puts the profiler's ids into the context on the
wire and takes them out at the other end, and its manager is a traced class.
"""

import queue

import oslo_messaging
from oslo_config import cfg
from osprofiler import profiler

TOPIC = "volumes"


class Context:
    """A request's context, which takes nothing that it doesn't know."""

    def __init__(self, user, client_timeout=None):
        self.user = user

    def to_dict(self):
        """Return what goes over the wire."""
        return {"user": self.user}


class PlainSerializer(oslo_messaging.NoOpSerializer):
    """Makes contexts of what comes over the wire."""

    def serialize_context(self, ctxt):
        return ctxt.to_dict()

    def deserialize_context(self, ctxt):
        return Context(**ctxt)


class CarryingSerializer(PlainSerializer):
    """Carries the place in a trace, too."""

    def serialize_context(self, ctxt):
        wire = super().serialize_context(ctxt)
        current = profiler.get()
        if current:
            wire["trace_info"] = {
                "hmac_key": current.hmac_key,
                "base_id": current.get_base_id(),
                "parent_id": current.get_id(),
            }
        return wire

    def deserialize_context(self, ctxt):
        place = ctxt.pop("trace_info", None)
        if place:
            profiler.init(**place)
        return super().deserialize_context(ctxt)


class PlainManager:
    """The methods that are called."""

    target = oslo_messaging.Target(version="1.0")

    def __init__(self):
        self.seen = queue.SimpleQueue()

    def create(self, ctxt, size):
        with profiler.Trace("work"):
            self.seen.put((ctxt.user, size))
        return size * 2

    @oslo_messaging.expected_exceptions(KeyError)
    def expected(self, ctxt):
        raise KeyError("missing")

    def broken(self, ctxt):
        raise ValueError("broken")


@profiler.trace_cls("rpc")
class TracedManager(PlainManager):
    """The same, traced."""


SERIALIZERS = {"plain": PlainSerializer, "carrying": CarryingSerializer}
MANAGERS = {"plain": PlainManager, "carrying": TracedManager}


def transport(url):
    """Return a transport, with the process's settings as services have them."""
    cfg.CONF([])
    return oslo_messaging.get_rpc_transport(cfg.CONF, url)


def server(transport, name, manager, kind):
    """Return a server of that kind."""
    target = oslo_messaging.Target(topic=TOPIC, server=name)
    return oslo_messaging.get_rpc_server(transport, target, [manager], serializer=SERIALIZERS[kind]())


def client(transport, kind, **options):
    """Return a client of that kind."""
    target = oslo_messaging.Target(topic=TOPIC, version="1.0")
    return oslo_messaging.get_rpc_client(transport, target, serializer=SERIALIZERS[kind](), **options)
