# SPDX-License-Identifier: Apache-2.0
"""The services' message bus, by upstream's name.

The native half writes and reads RabbitMQ; others go through oslo.messaging.
"""

from osprofiler.drivers import _bus, store


class Messaging(store.StoreDriver):
    """The message bus of the services: for each notification a message to the topic ``profiler``.

    The bus is, in this order, the one that the connection string names, ``transport_url``, ``transport_url`` in
    ``[oslo_messaging_notifications]`` of ``conf``, and ``transport_url`` in its ``[DEFAULT]``. TLS and the kind of
    queues are those of ``[oslo_messaging_rabbit]``. With RabbitMQ neither oslo.messaging nor the traced thread is
    involved.

    :param connection_str: ``messaging://``, or ``messaging://user:password@host:port/vhost``; the documentation of the
        store lists the options that may follow
    :param host: who the messages say that they are from
    :param context: a request's context, for transports other than RabbitMQ
    :param conf: an oslo.config object; ``oslo_config.cfg.CONF`` without one
    :param transport_url: for example ``rabbit://user:password@host:5672/``
    :param idle_timeout: seconds that ``get_report`` waits for more of a trace after the last that came
    :param transport: a transport of oslo.messaging's, as older services give it: its URL and configuration count
    :raises ValueError: if the bus cannot be one

    >>> from osprofiler.drivers import base
    >>> driver = base.get_driver("messaging://", transport_url="rabbit://tracer:SECRET@127.0.0.1:5672/")
    >>> type(driver).__name__
    'Messaging'
    """

    def __init__(
        self,
        connection_str,
        project=None,
        service=None,
        host=None,
        context=None,
        conf=None,
        transport_url=None,
        idle_timeout=1,
        transport=None,
        **kwargs,
    ):
        self.context = context
        self.idle_timeout = idle_timeout
        self._other = None
        brokers, options = _bus.split(connection_str)
        given = {"publisher_id": host, "idle_timeout": idle_timeout}
        given = {name: str(value) for name, value in given.items() if value is not None}
        if brokers.partition("://")[2]:
            self._string = _bus.connection_string(brokers, given | options)
        else:
            conf = conf or getattr(transport, "conf", None)
            transport_url = transport_url or options.pop("transport_url", None) or _url_of(transport)
            bus = _bus.Bus(conf, transport_url)
            if bus.is_rabbitmq:
                self._string = bus.connection_string(given | options)
            else:
                self._other = _other(bus, project, service, host, context)
                self.notify = self._other.notify
                self.get_report = self._report_of_other
        super().__init__(connection_str, project, service, host, conf=conf, **kwargs)

    @classmethod
    def get_name(cls):
        """Return the scheme."""
        return "messaging"

    def _native_string(self):
        if self._other is not None:
            raise self._unsupported()
        return self._string

    def _check(self):
        if self._other is None:
            super()._check()

    def _attach(self):
        return super()._attach() if self._other is None else None

    def _report_of_other(self, base_id):
        """Return the report of a trace, a dict, once for ``idle_timeout`` seconds nothing of it has come."""
        for found in self._other.notifications(str(base_id), self.idle_timeout):
            host = (found.get("info") or {}).get("host")
            ids = (found.get(name) for name in ("trace_id", "parent_id", "name", "project", "service"))
            self._append_results(*ids, host, found.get("timestamp"), found)
        return self._parse_results()


def _other(bus, project, service, host, context):
    # Imports oslo.messaging, which a service with RabbitMQ may do without here.
    from osprofiler.drivers import _oslo_messaging

    return _oslo_messaging.OsloMessaging(bus, project, service, host, context)


def _url_of(transport):
    """Return the URL of a transport of oslo.messaging's, which keeps it to itself."""
    return getattr(getattr(transport, "_driver", None), "_url", None)
