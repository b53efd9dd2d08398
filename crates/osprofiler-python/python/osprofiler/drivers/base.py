# SPDX-License-Identifier: Apache-2.0
"""``get_driver``, the drivers of this package, and the class that drivers made in Python derive from.

In: a connection string. Out: an object that writes notifications to a store, lists its traces and makes their reports.
"""

import datetime
import importlib
import logging

from osprofiler import _lenient, _native
from osprofiler import _utils as utils

LOG = logging.getLogger(__name__)

_EXAMPLE = "write `scheme://...`, for example `sqlite:///var/lib/osprofiler/traces.db`"
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%f"


# The classes of this package, below `osprofiler.drivers`: by scheme where upstream has a class of its own for one, else
# by the native driver's name. Every other native driver is a `StoreDriver`.
_CLASSES = {
    "elasticsearch": "elasticsearch_driver.ElasticsearchDriver",
    "jaeger": "jaeger.Jaeger",
    "loginsight": "loginsight.LogInsightDriver",
    "messaging": "messaging.Messaging",
    "mongodb": "mongodb.MongoDB",
    "mysql": "sqlalchemy_driver.SQLAlchemyDriver",
    "otlp": "otlp.OTLP",
    "postgresql": "sqlalchemy_driver.SQLAlchemyDriver",
    "redis": "redis_driver.Redis",
    "redissentinel": "redis_driver.RedisSentinel",
}


def get_driver(connection_string, *args, **kwargs):
    """Return the driver for a connection string: the ``Driver`` subclass of that name, else one of this package's.

    Nothing is opened before the first call that needs the store.

    Of several connection strings, separated by commas, the driver writes to each store, and reads the first that can be
    read and has what is asked for. One that names no store is told in the log, and the others work.

    :param connection_string: for example ``sqlite:///var/lib/osprofiler/traces.db``; a scheme alone will do where it
        names the store
    :param args: ``project``, ``service`` and ``host``, the names that notifications carry
    :param kwargs: the same by name, ``conf`` (an oslo.config object), and whatever the driver takes
    :returns: a ``Driver``
    :raises ValueError: if there is no driver for the string's scheme, or for any of several
    :raises TypeError: if it is no str

    >>> from osprofiler.drivers import base
    >>> class Memory(base.Driver):
    ...     stored = []
    ...
    ...     @classmethod
    ...     def get_name(cls):
    ...         return "memory"
    ...
    ...     def notify(self, info, **kwargs):
    ...         self.stored.append(info)
    >>> base.get_driver("memory://", project="shop").project
    'shop'
    """
    if not isinstance(connection_string, str):
        raise TypeError(f"the connection string is {_named(connection_string)}: {_EXAMPLE}")
    if not connection_string.strip():
        raise ValueError(f"the connection string is empty: {_EXAMPLE}")
    if len(_native.split_connection_strings(connection_string)) > 1:
        several = importlib.import_module(f"{__package__}.several")
        return several.get_driver(connection_string, *args, **kwargs)
    if "://" not in connection_string:
        connection_string += "://"
    return driver_class(connection_string)(connection_string, *args, **kwargs)


def _named(value):
    """Return what somebody gave who has no connection string."""
    return "`None`" if value is None else f"of the type `{type(value).__name__}`"


def driver_class(connection_string):
    """Return the class of the driver for a connection string. One made elsewhere goes before this package's.

    :raises ValueError: if there is no driver for the string's scheme
    """
    scheme = connection_string.partition("://")[0].lower()
    for driver in utils.itersubclasses(Driver):
        if not driver.__module__.startswith(f"{__package__}.") and driver.get_name() == scheme:
            return driver
    name = _native.driver_name(connection_string)
    module, _, class_name = _CLASSES.get(scheme, _CLASSES.get(name, "store.StoreDriver")).partition(".")
    return getattr(importlib.import_module(f"{__package__}.{module}"), class_name)


class Driver:
    """What a driver made in Python derives from: ``notify`` writes, the others read.

    What a class does not define raises ``NotImplementedError``; a driver that only writes needs ``notify`` alone.

    :param connection_str: the connection string, as ``connection_str``
    :param project: the names of the process that records, and so the next two; attributes of the same names
    :param kwargs: ``conf``, whose ``profiler.filter_error_trace`` becomes an attribute; the others are for the class
        that derives
    """

    default_trace_fields = frozenset(("base_id", "timestamp"))

    def __init__(self, connection_str, project=None, service=None, host=None, **kwargs):
        self.connection_str = connection_str
        self.project = project
        self.service = service
        self.host = host
        self._forget_results()
        self.filter_error_trace = _lenient.read(kwargs.get("conf"), "filter_error_trace") or False

    def notify(self, info, **kwargs):
        """Store one notification, on the thread of the point; what this raises is counted and forgotten.

        :param info: a dict, as ``notifier.notify`` describes it
        """
        raise self._unsupported()

    def get_report(self, base_id):
        """Return the report of a trace.

        :param base_id: the trace's id, a str
        :returns: a dict: ``info``, ``stats`` by name, and ``children``, each with ``info``, ``trace_id``, ``parent_id``
            and its own ``children``; times are milliseconds since the trace's first notification
        """
        raise self._unsupported()

    @classmethod
    def get_name(cls):
        """Return the scheme of the connection strings that mean this driver, a str; by default the class's name."""
        return cls.__name__

    def list_traces(self, fields=None):
        """Return the traces that the store holds.

        :param fields: further members of a trace's first notification; ``a.b`` names a member of a member
        :returns: a list with a dict each, with ``base_id``, ``timestamp`` and the ``fields``
        """
        raise self._unsupported()

    def list_error_traces(self):
        """Return the traces that hold an error: a dict each, with ``base_id`` and ``timestamp``."""
        raise self._unsupported()

    def _unsupported(self):
        return NotImplementedError(f"{self.get_name()}: This method is either not supported or has to be overridden")

    def _forget_results(self):
        self.result = {}
        self.started_at = None
        self.finished_at = None
        self.last_started_at = None

    @staticmethod
    def _build_tree(nodes):
        """Return the tree of ``nodes``, a dict by id, as its top level: each gets its ``children``, by start."""
        top = []
        for node in nodes.values():
            node["children"] = []
        for node in nodes.values():
            parent = nodes.get(node["parent_id"])
            (top if parent is None else parent["children"]).append(node)
        reached = set()
        for node in top:
            _reach(node, reached)
        for trace_id, node in nodes.items():
            # Not below the top, so its ancestors are a cycle: it is shown at the top itself.
            if trace_id not in reached:
                nodes[node["parent_id"]]["children"].remove(node)
                top.append(node)
                _reach(node, reached)
        for siblings in (top, *(node["children"] for node in nodes.values())):
            siblings.sort(key=lambda node: node["info"]["started"])
        return top

    def _append_results(self, trace_id, parent_id, name, project, service, host, timestamp, raw_payload=None):
        """Add one notification to the report that ``_parse_results`` makes."""
        try:
            timestamp = datetime.datetime.strptime(timestamp, _TIME_FORMAT)
        except (TypeError, ValueError):
            LOG.warning("a notification of the point `%s` is left out: its time `%s` is none", trace_id, timestamp)
            return
        node = self.result.get(trace_id)
        if node is None:
            info = {"name": _point_name(name), "project": project, "service": service, "host": host}
            node = self.result[trace_id] = {"info": info, "trace_id": trace_id, "parent_id": parent_id}
        info = node["info"]
        info[f"meta.raw_payload.{name}"] = raw_payload
        if name.endswith("stop"):
            info["finished"] = timestamp
            etype = ((raw_payload or {}).get("info") or {}).get("etype")
            info["exception"] = etype if etype else "None"
        else:
            info["started"] = timestamp
            if self.last_started_at is None or self.last_started_at < timestamp:
                self.last_started_at = timestamp
        if self.started_at is None or self.started_at > timestamp:
            self.started_at = timestamp
        if self.finished_at is None or self.finished_at < timestamp:
            self.finished_at = timestamp

    def _parse_results(self):
        """Return the report of what was added, in milliseconds since its first notification. Leaves nothing behind."""

        def milliseconds(timestamp):
            return None if timestamp is None else (timestamp - started_at) // datetime.timedelta(milliseconds=1)

        started_at = self.started_at
        stats = {}
        for node in self.result.values():
            info = node["info"]
            info.setdefault("started", info.get("finished"))
            info.setdefault("finished", info["started"])
            info["started"] = milliseconds(info["started"])
            info["finished"] = milliseconds(info["finished"])
            total = stats.setdefault(info["name"], {"count": 0, "duration": 0})
            total["count"] += 1
            total["duration"] += info["finished"] - info["started"]
        report = {
            "info": {
                "name": "total",
                "started": 0,
                "finished": milliseconds(self.finished_at),
                "last_trace_started": milliseconds(self.last_started_at),
            },
            "children": self._build_tree(self.result),
            "stats": stats,
        }
        self._forget_results()
        return report


def _point_name(name):
    for end in ("-start", "-stop"):
        if name.endswith(end):
            return name[: -len(end)]
    return name


def _reach(node, reached):
    """Add the ids of ``node`` and of all below it."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if node["trace_id"] not in reached:
            reached.add(node["trace_id"])
            waiting.extend(node["children"])
