# SPDX-License-Identifier: Apache-2.0
"""A bus that the native half does not speak with (Kafka, for one), through the library oslo.messaging.

In: notifications, one at a time, on the traced thread, as upstream does. Out: the library's messages. What it raises is
the caller's, who counts it; what it is told not to raise, it logs. Reading takes from the bus what it reads.
"""

import importlib
import json
import re
import threading
import time

from osprofiler import _native

_TOPIC = "profiler"
# A trace that never comes to rest is waited for so long.
_MOST_WAITING_SECONDS = 60


class OsloMessaging:
    """The library's notifier and listener for a bus.

    :param bus: a ``_bus.Bus``
    :raises ValueError: where the library is absent or has no transport of that name
    """

    def __init__(self, bus, project, service, host, context):
        self.project, self.service, self.host = project, service, host
        self._context = context
        name = bus.transport_url.partition("://")[0]
        try:
            self._library = importlib.import_module("oslo_messaging")
        except ImportError:
            raise ValueError(
                f"the transport `{name}` needs oslo.messaging: `pip install osprofiler[messaging]`"
            ) from None
        try:
            self._transport = self._library.get_notification_transport(bus.conf, url=bus.transport_url)
        except Exception as error:
            told = _native.mask_text(_native.safe_str(error), bus.transport_url)
            raise ValueError(f"the transport `{name}` cannot be used: {told}") from None
        self._notifier = self._library.Notifier(
            self._transport, publisher_id=host, driver="messaging", topics=[_TOPIC], retry=0
        )

    def notify(self, info, context=None, **kwargs):
        """Send one notification, a dict."""
        # The library would log a value that it cannot send, with all others; as text each can be sent, and is masked.
        values = json.loads(_native.info_json(info.get("info") or {}))
        notification = {**info, "info": values, "project": self.project, "service": self.service}
        self._notifier.info(context or self._context or {}, f"{_TOPIC}.{self.service}", notification)

    def notifications(self, base_id, idle_timeout):
        """Return the notifications of a trace, in order of arrival, once for ``idle_timeout`` seconds none has come."""
        found = _Found(self._library.NotificationFilter(payload={"base_id": f"^{re.escape(base_id)}$"}))
        target = self._library.Target(topic=_TOPIC)
        listener = self._library.get_notification_listener(self._transport, [target], [found], executor="threading")
        listener.start()
        try:
            found.await_rest(idle_timeout)
        finally:
            listener.stop()
            listener.wait()
        return found.payloads


class _Found:
    """What the library calls with each message."""

    def __init__(self, filter_rule):
        self.filter_rule = filter_rule
        self.payloads = []
        self._came = threading.Condition()

    def info(self, ctxt, publisher_id, event_type, payload, metadata):
        """Take one notification."""
        with self._came:
            self.payloads.append(payload)
            self._came.notify()

    def await_rest(self, idle_timeout):
        """Wait until for so many seconds nothing has come."""
        deadline = time.monotonic() + _MOST_WAITING_SECONDS
        with self._came:
            while True:
                before = len(self.payloads)
                more = self._came.wait_for(lambda: len(self.payloads) > before, idle_timeout)  # noqa: B023
                if not more or time.monotonic() > deadline:
                    return
