# SPDX-License-Identifier: Apache-2.0
"""Where a service's message bus is, by its own configuration: what oslo.messaging would read, without oslo.messaging.

In: a ``conf``, or a transport URL. Out: a transport URL, and a connection string for the native half. Nothing is
registered with ``conf``: options that oslo.messaging has not registered there yet are read from the same files beside
it.
"""

from urllib import parse

from oslo_config import cfg

_NOTIFICATIONS = "oslo_messaging_notifications"
_RABBIT = "oslo_messaging_rabbit"
# By section and name: what oslo.messaging takes for an option that is absent.
_STRINGS = {
    (None, "transport_url"): "rabbit://",
    (None, "control_exchange"): "openstack",
    (_NOTIFICATIONS, "transport_url"): "",
    (_RABBIT, "ssl_ca_file"): "",
    (_RABBIT, "ssl_cert_file"): "",
    (_RABBIT, "ssl_key_file"): "",
    (_RABBIT, "rabbit_login_method"): "AMQPLAIN",
}
_FLAGS = {
    (_RABBIT, "ssl"): False,
    (_RABBIT, "amqp_durable_queues"): False,
    (_RABBIT, "amqp_auto_delete"): False,
    (_RABBIT, "rabbit_quorum_queue"): False,
}
_NUMBERS = {
    (_RABBIT, "rabbit_quorum_delivery_limit"): 0,
    (_RABBIT, "rabbit_quorum_max_memory_length"): 0,
    (_RABBIT, "rabbit_quorum_max_memory_bytes"): 0,
}
_DEFAULTS = {**_STRINGS, **_FLAGS, **_NUMBERS}
# What the transports are called that the native half speaks.
_RABBITMQ = ("rabbit", "kombu")


class Bus:
    """The bus of a service.

    :param conf: an oslo.config object, or ``None`` for the process's own
    :param transport_url: the bus's URL where the caller has one; it goes before the configuration's
    """

    def __init__(self, conf, transport_url=None):
        self.conf = cfg.CONF if conf is None else conf
        self._beside = None
        self.transport_url = (
            str(transport_url or "")
            or self._option(_NOTIFICATIONS, "transport_url")
            or self._option(None, "transport_url")
        )

    @property
    def is_rabbitmq(self):
        """Whether the native half speaks with it."""
        return self.transport_url.partition("://")[0] in _RABBITMQ

    def connection_string(self, options):
        """Return the connection string of the bus for the native half, with further options, a dict of text."""
        ours = {"transport_url": self.transport_url}
        exchange = self._option(None, "control_exchange")
        if exchange != _DEFAULTS[None, "control_exchange"]:
            ours["exchange"] = exchange
        for group, name in _DEFAULTS:
            if group == _RABBIT and (value := self._option(group, name)) != _DEFAULTS[group, name]:
                ours[name] = str(value)
        return connection_string("messaging://", ours | options)

    def _option(self, group, name):
        """Return an option's value, of the type that it has to be."""
        default = _DEFAULTS[group, name]
        value = _value(self.conf, group, name)
        if value is _UNREGISTERED:
            value = _value(self._read_beside(), group, name)
        return value if isinstance(value, type(default)) else default

    def _read_beside(self):
        """Read the options from the configuration's files into an object of our own."""
        if self._beside is None:
            self._beside = cfg.ConfigOpts()
            for options, kind in ((_STRINGS, cfg.StrOpt), (_FLAGS, cfg.BoolOpt), (_NUMBERS, cfg.IntOpt)):
                for (group, name), default in options.items():
                    self._beside.register_opt(kind(name, default=default), group=group)
            self._beside(
                [],
                default_config_files=_paths(self.conf, "config_file"),
                default_config_dirs=_paths(self.conf, "config_dir"),
            )
        return self._beside


_UNREGISTERED = object()


def connection_string(brokers, options):
    """Return a connection string with these options, a dict of text."""
    text = "&".join(f"{name}={parse.quote(value, safe='')}" for name, value in options.items())
    return f"{brokers}?{text}" if text else brokers


def split(connection_str):
    """Return a connection string without its options, and these as a dict of text."""
    brokers, _, text = connection_str.partition("?")
    return brokers, dict(parse.parse_qsl(text.replace("+", "%2B"), keep_blank_values=True))


def _value(conf, group, name):
    try:
        return getattr(conf if group is None else getattr(conf, group), name)
    except (cfg.NoSuchOptError, cfg.NoSuchGroupError, AttributeError):
        return _UNREGISTERED


def _paths(conf, name):
    """Return the files or folders that a configuration was read from, as a list."""
    paths = _value(conf, None, name)
    return list(paths) if isinstance(paths, (list, tuple)) else []
