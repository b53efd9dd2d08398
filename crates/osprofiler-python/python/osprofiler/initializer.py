# SPDX-License-Identifier: Apache-2.0
"""One call that a service makes at its start."""

import importlib

from osprofiler import _advice, messaging, notifier, requests, web


def init_from_conf(conf, context=None, project=None, service=None, host=None, contex=None, **kwargs):
    """Send the process's notifications to the store that ``conf.profiler`` names, and turn the middleware on.

    :param conf: the oslo.config object; its options are registered if they are not yet
    :param context: a request context, for drivers that need one
    :param project: the project's name, for example ``cinder``
    :param service: the service's name, for example ``cinder-volume``
    :param host: the host's name
    :param contex: the same as ``context``; older guides spell it so
    """
    if not hasattr(conf, "profiler"):
        # Nobody has registered the options on this object; a program that has no use for them doesn't import `opts`.
        importlib.import_module("osprofiler.opts").set_defaults(conf)
    _advice.warn_of_default_key(conf)
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
