# SPDX-License-Identifier: Apache-2.0
"""One end of an RPC of a real service, or both: its own client, server, serializer, context, and way to be traced.

In: a service's name, `client`, `server` or `both`, the service's configuration file, and the id of a trace. Out: what
its profiler stores; status 0 if each call was answered right. A server says `ready`, and ends with its standard input.
"""

import select
import sys
from dataclasses import dataclass
from typing import Any

if sys.argv[1] == "nova":
    # Before anything else, as its own programs do.
    from nova import monkey_patch

    monkey_patch.patch()

import oslo_messaging
from osprofiler import profiler

TARGET = oslo_messaging.Target(topic="tests", version="1.0")


class Endpoint:
    """What is called."""

    target = oslo_messaging.Target(version="1.0")

    def double(self, context, number):
        """Double a number, and say who asked; a context that knows of tracing would be told too."""
        with profiler.Trace("work"):
            return [2 * number, context.user_id, "trace_info" in context.to_dict()]


@dataclass
class Service:
    """A service: the context of a request, what makes clients and servers of a target, and what is called."""

    context: Any
    get_client: Any
    get_server: Any
    endpoint: Any


def nova(arguments):
    """Return Nova, as `nova-compute` starts; its methods are traced by its own decorator."""
    import nova.config
    import nova.context
    import nova.profiler
    import nova.rpc
    import nova.service

    nova.config.parse_args(["nova-compute", *arguments], configure_db=False)
    nova.service.setup_profiler("nova-compute", "host")
    context = nova.context.RequestContext("user", "project")
    return Service(context, nova.rpc.get_client, nova.rpc.get_server, nova.profiler.trace_cls("rpc")(Endpoint)())


def cinder(arguments):
    """Return Cinder, as `cinder-volume` starts; its service traces the class of its manager."""
    import cinder.context
    import cinder.objects
    import cinder.rpc
    import cinder.service

    cinder.objects.register_all()
    cinder.service.CONF(arguments, project="cinder")
    cinder.rpc.init(cinder.service.CONF)
    cinder.service.setup_profiler("cinder-volume", "host")
    context = cinder.context.RequestContext("user", "project")
    return Service(context, cinder.rpc.get_client, cinder.rpc.get_server, profiler.trace_cls("rpc")(Endpoint)())


def neutron(arguments):
    """Return Neutron, as its server starts; its managers are traced by their metaclass."""
    import neutron.common.config
    import neutron.common.profiler
    import neutron.manager
    import neutron_lib.context
    import neutron_lib.rpc

    neutron.common.config.register_common_config_options()
    neutron.common.config.init(arguments)
    neutron.common.profiler.setup("neutron-server", "host")
    context = neutron_lib.context.Context("user", "project")
    manager = type("Manager", (neutron.manager.Manager,), {"double": Endpoint.double})
    return Service(context, neutron_lib.rpc.get_client, neutron_lib.rpc.get_server, manager("host"))


def serve(service):
    """Return a started server."""
    target = oslo_messaging.Target(topic=TARGET.topic, server="host")
    server = service.get_server(target, [service.endpoint])
    server.start()
    return server


def call(service, base_id):
    """Call in a trace, then outside of any on the same workers, then in the trace again."""
    client = service.get_client(TARGET)
    for number in range(3):
        if number != 1:
            profiler.init("key", base_id)
            profiler.start("request", {"number": number})
        assert client.prepare(timeout=60).call(service.context, "double", number=number) == [2 * number, "user", False]
        profiler.stop()
        profiler.clean()


def main(name, end, configuration, base_id):
    """Run the service's end."""
    service = {"nova": nova, "cinder": cinder, "neutron": neutron}[name](["--config-file", configuration])
    server = None if end == "client" else serve(service)
    if end != "server":
        call(service, base_id)
    else:
        print("ready", flush=True)
        # Eventlet's own wait, where it is in use.
        select.select([sys.stdin], [], [])
    if server:
        server.stop()
        server.wait()


main(*sys.argv[1:])
