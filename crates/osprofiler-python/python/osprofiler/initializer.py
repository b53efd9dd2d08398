# SPDX-License-Identifier: Apache-2.0
"""One call that a service makes at its start."""

from osprofiler import messaging, notifier, requests, web


def init_from_conf(conf, context=None, project=None, service=None, host=None, contex=None, **kwargs):
    """Send the process's notifications to the store that ``conf.profiler`` names, and turn the middleware on.

    :param conf: the oslo.config object, with the group ``profiler``
    :param context: a request context, for drivers that need one
    :param project: the project's name, for example ``cinder``
    :param service: the service's name, for example ``cinder-volume``
    :param host: the host's name
    :param contex: the same as ``context``; older guides spell it so
    """
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
