# SPDX-License-Identifier: Apache-2.0
"""Drivers over the native half: it writes, reads and lists; these classes keep upstream's names and signatures.

Nothing here opens a store. What is wrong with a connection string is an exception of the call that first needs the
store, or of the constructor where upstream's constructor fails, too; ``notifier.create`` makes a line in the log of it.
"""

from urllib.parse import quote

from osprofiler import _ending, _native
from osprofiler.drivers import base


class StoreDriver(base.Driver):
    """A store that the native half writes and reads: ``osprofiler --help`` lists them."""

    def __init__(self, connection_str, project=None, service=None, host=None, **kwargs):
        super().__init__(connection_str, project, service, host, **kwargs)
        self._origin = None
        self._check()

    def _native_string(self):
        """Return the connection string that the native half gets: the given one, where a driver has nothing to add."""
        return self.connection_str

    def _check(self):
        """Raise if no driver can serve the connection string, or what it says cannot be. Opens nothing."""
        _native.check_connection(self._native_string())

    @classmethod
    def get_name(cls):
        """Return what error messages call it; no scheme means it alone."""
        return "store"

    def _attach(self):
        """Name this process's notifications after the project and service, and their store. Opens nothing yet."""
        if self._origin is None:
            self._origin = _native.attach(self._stores(), _text(self.project), _text(self.service))
            _ending.watch()
        return self._origin

    def _stores(self):
        """Return the connection strings of the stores that the native half writes to, a list."""
        return [self._native_string()]

    def notify(self, info, **kwargs):
        """Store one notification, a dict."""
        _native.submit(self._attach(), info)

    def get_report(self, base_id):
        """Return the report of a trace, a dict; an empty one if the store does not know it."""
        return self._read(_native.report, str(base_id))

    def list_traces(self, fields=None):
        """All traces, oldest first: a dict each, with ``fields`` of its first notification.

        ``base_id`` and ``timestamp`` the store knows by itself; for any other each trace is read.
        """
        further = (self.default_trace_fields | set(fields or ())) - {"base_id", "timestamp"}
        if not further:
            return self._list(with_errors=False)
        return [
            {"base_id": base_id, "timestamp": timestamp, **_selected(first or {}, further)}
            for base_id, timestamp, first in self._read(_native.list_first_notifications)
        ]

    def list_error_traces(self):
        """Return the traces that hold an error: a dict each, with ``base_id`` and ``timestamp``."""
        return self._list(with_errors=True)

    def _list(self, with_errors):
        listed = self._read(_native.list_traces, with_errors)
        return [{"base_id": base_id, "timestamp": timestamp} for base_id, timestamp in listed]

    def _read(self, question, *arguments):
        """Ask the native half about the store."""
        return question(self._native_string(), *arguments)


class LateStoreDriver(StoreDriver):
    """A store whose driver can be made whatever becomes of it, as callers of upstream's expect."""

    def _check(self):
        """Leave it to the first call that needs the store."""


def with_option(connection_str, name, value):
    """Return the connection string with an option, unless it has one of that name."""
    behind_password = connection_str.rpartition("@")[2]
    if f"{name}=" in behind_password:
        return connection_str
    return f"{connection_str}{'&' if '?' in behind_password else '?'}{name}={quote(str(value), safe='')}"


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
