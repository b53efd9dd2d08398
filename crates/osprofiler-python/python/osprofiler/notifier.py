# SPDX-License-Identifier: Apache-2.0
"""Where notifications go: to a store, through the native delivery, or to any callable.

A store's notifications leave the traced thread at once. A callable made in Python is called on the traced thread, in
order; what it raises is counted and forgotten.
"""

import atexit
import logging

from osprofiler import _native
from osprofiler.drivers import base, store

LOG = logging.getLogger(__name__)


def _noop_notifier(info, context=None):
    """Do nothing with a notification."""


_notifier_cache = {}
_native.set_notifier(_noop_notifier, None, True)
atexit.register(_native.log_messages)


def notify(info):
    """Hands one notification, a dict, to the current notifier."""
    get()(info)


def get():
    """Return the current notifier."""
    return _native.get_notifier()


def set(notifier):
    """Make ``notifier``, a callable of one dict, the notifier of this process."""
    driver = getattr(notifier, "__self__", None)
    origin = driver._attach() if isinstance(driver, store.StoreDriver) else None
    _native.set_notifier(notifier, origin, notifier is _noop_notifier)


def create(connection_string, *args, **kwargs):
    """Return the notifier of the store that ``connection_string`` names.

    Equal arguments give the same notifier. A store that cannot be is told in the log and gives a notifier that does
    nothing; the next call tries again. What a store does later never fails a request.
    """
    key = _cache_key(connection_string, args, kwargs)
    notifier = _notifier_cache.get(key)
    if notifier is None:
        try:
            driver = base.get_driver(connection_string, *args, **kwargs)
            if isinstance(driver, store.StoreDriver):
                driver._attach()
            notifier = driver.notify
        except Exception as error:
            LOG.error(
                "osprofiler is off: no driver for the connection string `%s`: %s",
                _native.mask(connection_string),
                _native.mask_text(str(error), connection_string),
            )
            return _noop_notifier
        LOG.info("osprofiler sends to `%s`", _native.mask(connection_string))
        _notifier_cache[key] = notifier
    return notifier


def clear_notifier_cache():
    """Forgets which notifiers ``create`` has made."""
    _notifier_cache.clear()


def _cache_key(connection_string, args, kwargs):
    def comparable(value):
        try:
            hash(value)
        except TypeError:
            return type(value)
        return value

    return (
        connection_string,
        tuple(comparable(value) for value in args),
        tuple((name, comparable(value)) for name, value in sorted(kwargs.items())),
    )
