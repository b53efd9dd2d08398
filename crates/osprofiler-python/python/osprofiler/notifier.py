# SPDX-License-Identifier: Apache-2.0
"""Where notifications go: to a store, through the native delivery, or to any callable.

In: the start and the stop of each point. Out: a store's leave the traced thread at once, and a thread of their own
writes them, without Python. A callable made in Python is called on the traced thread, in order; what it raises is
counted and forgotten. A process has one notifier, at first one that does nothing.
"""

import atexit
import logging
import types

from osprofiler import _lenient, _native
from osprofiler.drivers import base, store

LOG = logging.getLogger(__name__)


def _noop_notifier(info, context=None):
    """Do nothing with a notification."""


# By connection string: arguments, and the notifier that was made of them.
_notifier_cache = {}
# A program that makes ever new strings or arguments doesn't fill its memory with their notifiers.
_MOST_KNOWN = 16
# What older services pass by position, after the module `oslo_messaging`.
_OLD_ARGUMENTS = ("context", "transport", "project", "service", "host")
_native.set_notifier(_noop_notifier, None, True)
atexit.register(_native.log_messages)


def notify(info):
    """Hand a notification to the current notifier, as points do by themselves.

    :param info: a dict with ``name``, which ends with ``-start`` or ``-stop``, ``base_id``, ``trace_id``,
        ``parent_id``, ``timestamp`` (UTC, ``2026-11-25T22:17:50.689658``) and ``info``, a dict
    """
    get()(info)


def get():
    """Return the current notifier, a callable of one dict."""
    return _native.get_notifier()


def set(notifier):
    """Make a callable the notifier of this process, for all threads and from now on.

    :param notifier: what ``create`` returned, or any callable of one dict; it gets a dict of its own for each
        notification, with the members that ``notify`` names

    >>> from osprofiler import notifier, profiler
    >>> before = notifier.get()
    >>> notifications = []
    >>> notifier.set(notifications.append)
    >>> _ = profiler.init("SECRET")
    >>> with profiler.Trace("work"):
    ...     pass
    >>> [notification["name"] for notification in notifications]
    ['work-start', 'work-stop']
    >>> profiler.clean()
    >>> notifier.set(before)
    """
    origin, off = None, notifier is _noop_notifier
    if isinstance(notifier, types.MethodType) and notifier.__func__ is store.StoreDriver.notify:
        driver = notifier.__self__
        try:
            origin = driver._attach()
        except Exception as error:
            _say_off(driver.connection_str, error)
            off = True
    _native.set_notifier(notifier, origin, off)


def create(connection_string, *args, **kwargs):
    """Return a notifier for the store that a connection string names. ``set`` makes it the process's.

    Equal arguments give the same notifier. Nothing is opened yet: a store that is down is tried again, and what a store
    does never fails a request. A connection string that names no store is told in the log, without its password, and
    gives a notifier that does nothing; the next call tries again.

    ``conf``, where it is given and has the options, decides whether this process masks secrets and publishes its
    counters, and what may wait for a store that is down. Older services pass the module ``oslo_messaging``, a
    context, a transport, and the names of project, service and host by position: that is taken as what it means.

    :param connection_string: for example ``sqlite:///var/lib/osprofiler/traces.db``; ``osprofiler trace list --help``
        lists the stores
    :param args: ``project``, ``service`` and ``host`` by their places, and whatever the driver takes
    :param kwargs: ``project`` and ``service``, the names that each notification carries, ``host``, ``conf`` (an
        oslo.config object), and whatever the driver takes
    :returns: a callable of one dict; it never raises

    >>> from osprofiler import notifier
    >>> notifier.set(notifier.create("sqlite:///var/lib/osprofiler/traces.db", project="shop", service="api"))
    """
    _heed(kwargs.get("conf"))
    if args and isinstance(args[0], types.ModuleType):
        kwargs = {**dict(zip(_OLD_ARGUMENTS, args[1:], strict=False)), **kwargs}
        args = ()
    key = _native.safe_str(connection_string)
    for known_args, known_kwargs, notifier in _notifier_cache.get(key, ()):
        if _are_same(known_args, args) and _are_same(known_kwargs, kwargs):
            return notifier
    try:
        driver = base.get_driver(connection_string, *args, **kwargs)
        if isinstance(driver, store.StoreDriver):
            driver._attach()
        notifier = driver.notify
        sends_to = getattr(driver, "_sends_to", connection_string)
    except Exception as error:
        _say_off(connection_string, error)
        return _noop_notifier
    LOG.info("osprofiler sends to `%s`", _native.mask(sends_to))
    known = _notifier_cache.setdefault(key, [])
    known.append((args, kwargs, notifier))
    del known[:-_MOST_KNOWN]
    for oldest in list(_notifier_cache)[:-_MOST_KNOWN]:
        _notifier_cache.pop(oldest, None)
    return notifier


def clear_notifier_cache():
    """Forget which notifiers ``create`` has made; the one that is set stays."""
    _notifier_cache.clear()


def _say_off(connection_string, error):
    if not isinstance(connection_string, str):
        LOG.error("osprofiler is off: %s", _native.safe_str(error))
        return
    LOG.error(
        "osprofiler is off: no driver for the connection string `%s`: %s",
        _native.mask(connection_string),
        _native.mask_text(_native.safe_str(error), connection_string),
    )


def _heed(conf):
    """Take over from the configuration what holds for the whole process, where it has the options."""
    values = {name: _lenient.read(conf, name) for name in _lenient.DEFAULTS}
    for name, take in (
        ("mask_secrets", _native.set_mask_secrets),
        ("publish_counters", _native.set_publish_counters),
    ):
        if isinstance(values[name], bool):
            take(values[name])
    names = ("queue_max_mib", "spool_folder", "spool_max_mib")
    # A configuration that has none of them leaves what another one set.
    if all(values[name] is None for name in names):
        return
    queue_mib, folder, spool_mib = (_lenient.DEFAULTS[name] if values[name] is None else values[name] for name in names)
    _native.set_bounds(queue_mib, folder or None, spool_mib)


def _are_same(one, other):
    """Whether two arguments mean the same: equal where they are plain values, else the same object."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_are_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_are_same, one, other))
    return isinstance(one, (str, bytes, int, float)) and one == other
