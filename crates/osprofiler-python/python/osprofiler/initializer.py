# SPDX-License-Identifier: Apache-2.0
"""One call that a service makes at its start."""

import importlib

from osprofiler import _advice, messaging, notifier, requests, web


def init_from_conf(conf, context=None, project=None, service=None, host=None, contex=None, **kwargs):
    """Send the process's notifications to the store that ``conf.profiler`` names, and turn the middleware on.

    What ``notifier.create``, ``notifier.set`` and ``web.enable`` do, and ``requests.enable`` if the option
    ``trace_requests`` says so. Nothing is opened, and nothing raised because of a store. ``conf.profiler.enabled`` is
    for the caller to ask.

    :param conf: the oslo.config object; its options are registered if they are not yet
    :param context: a request context, for drivers made in Python that need one
    :param project: the project's name, a str, for example ``cinder``; each notification carries it, and so the next two
    :param service: the service's name, a str, for example ``cinder-volume``
    :param host: the host's name, a str
    :param contex: the same as ``context``; older guides spell it so
    :param kwargs: what else the driver takes

    >>> from oslo_config import cfg
    >>> from osprofiler import initializer, opts
    >>> conf = cfg.ConfigOpts()
    >>> opts.set_defaults(conf, enabled=False, connection_string="sqlite:///var/lib/osprofiler/traces.db")
    >>> conf([], project="shop")
    >>> if conf.profiler.enabled:
    ...     initializer.init_from_conf(conf, context={}, project="shop", service="shop-api", host="node-1")
    """
    if not hasattr(conf, "profiler"):
        # Nobody has registered the options on this object; a program that has no use for them doesn't import `opts`.
        importlib.import_module("osprofiler.opts").set_defaults(conf)
    _advice.tell_unknown_options(conf)
    if context is None:
        context = contex
    _notifier = notifier.create(
        conf.profiler.connection_string,
        context=context,
        project=project,
        service=service,
        host=host,
        conf=conf,
        **kwargs,
    )
    notifier.set(_notifier)
    messaging.keep_workers_apart()
    web.enable(conf.profiler.hmac_keys)
    if conf.profiler.trace_requests:
        requests.enable()
