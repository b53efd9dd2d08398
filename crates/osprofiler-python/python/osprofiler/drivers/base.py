# SPDX-License-Identifier: Apache-2.0
"""``get_driver``, the drivers of this package, and the class that drivers made in Python derive from."""

import datetime
import json
import logging

from osprofiler import _native
from osprofiler import _utils as utils

LOG = logging.getLogger(__name__)

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%f"


def get_driver(connection_string, *args, **kwargs):
    """Return the driver for a connection string: the ``Driver`` subclass of that name, else one of this package's.

    :raises ValueError: if there is no driver for the string's scheme
    """
    if "://" not in connection_string:
        connection_string += "://"
    scheme = connection_string.partition("://")[0].lower()
    for driver in utils.itersubclasses(Driver):
        if driver is not StoreDriver and scheme == driver.get_name():
            return driver(connection_string, *args, **kwargs)
    return StoreDriver(connection_string, *args, **kwargs)


class Driver:
    """What a driver made in Python derives from: ``notify`` writes, the others read.

    ``get_name`` is the scheme of the connection strings that mean it.
    """

    default_trace_fields = frozenset(("base_id", "timestamp"))

    def __init__(self, connection_str, project=None, service=None, host=None, **kwargs):
        self.connection_str = connection_str
        self.project = project
        self.service = service
        self.host = host
        self._forget_results()
        profiler_options = getattr(kwargs.get("conf"), "profiler", None)
        self.filter_error_trace = getattr(profiler_options, "filter_error_trace", False)

    def notify(self, info, **kwargs):
        """Store one notification, a dict."""
        raise self._unsupported()

    def get_report(self, base_id):
        """Return the report of a trace, a dict."""
        raise self._unsupported()

    @classmethod
    def get_name(cls):
        """Return the scheme that means this driver."""
        return cls.__name__

    def list_traces(self, fields=None):
        """All traces: a dict each, with ``fields`` of its first notification."""
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


class StoreDriver(Driver):
    """A store that the native half writes and reads: ``osprofiler --help`` lists them."""

    def __init__(self, connection_str, project=None, service=None, host=None, **kwargs):
        super().__init__(connection_str, project, service, host, **kwargs)
        _native.check_connection(connection_str)
        self._origin = None

    @classmethod
    def get_name(cls):
        """Return what error messages call it; no scheme means it alone."""
        return "store"

    def _attach(self):
        """Names this process's notifications after the project and service, and their store. Opens nothing yet."""
        if self._origin is None:
            self._origin = _native.attach(self.connection_str, _text(self.project), _text(self.service))
        return self._origin

    def notify(self, info, **kwargs):
        """Store one notification, a dict."""
        _native.submit(self._attach(), info)

    def get_report(self, base_id):
        """Return the report of a trace, a dict; an empty one if the store does not know it."""
        return json.loads(_native.report(self.connection_str, str(base_id)))

    def list_traces(self, fields=None):
        """All traces, oldest first: a dict each, with ``fields`` of its first notification."""
        fields = self.default_trace_fields | set(fields or ())
        traces = []
        for base_id, timestamp in _native.list_traces(self.connection_str, False):
            trace = {"base_id": base_id, "timestamp": timestamp}
            if fields - trace.keys():
                first = json.loads(_native.first_notification(self.connection_str, base_id) or "{}")
                trace.update(_selected(first, fields - trace.keys()))
            traces.append(trace)
        return traces

    def list_error_traces(self):
        """Return the traces that hold an error: a dict each, with ``base_id`` and ``timestamp``."""
        return [
            {"base_id": base_id, "timestamp": timestamp}
            for base_id, timestamp in _native.list_traces(self.connection_str, True)
        ]


def _text(value):
    return None if value is None else str(value)


def _selected(notification, fields):
    """Return the members that ``fields`` name; ``a.b`` names a member of a member and keeps its place."""
    selected = {}
    for field in fields:
        source, target = notification, selected
        *outer, name = field.split(".")
        for part in outer:
            source = source.get(part) if isinstance(source, dict) else None
        if not isinstance(source, dict) or name not in source:
            continue
        for part in outer:
            target = target.setdefault(part, {})
        if isinstance(target, dict):
            target[name] = source[name]
    return selected


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
