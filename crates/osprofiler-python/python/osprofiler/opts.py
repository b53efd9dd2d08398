# SPDX-License-Identifier: Apache-2.0
"""The options of ``[profiler]`` for oslo.config.

Importing this module registers them on ``cfg.CONF``; ``set_defaults`` registers them on another object. What each means
is in the guide for operators, and in the options themselves.
"""

from oslo_config import cfg

from osprofiler import _lenient, web

__all__ = [
    "disable_web_trace",
    "enable_web_trace",
    "is_db_trace_enabled",
    "is_trace_enabled",
    "list_opts",
    "set_defaults",
]


def _group(name, title):
    return cfg.OptGroup(name, title=title)


_profiler_opt_group = _group("profiler", "OpenStack cross-service profiling")

_enabled_opt = cfg.BoolOpt(
    "enabled",
    default=False,
    deprecated_group="profiler",
    deprecated_name="profiler_enabled",
    help="Whether requests whose headers are signed with one of `hmac_keys` are traced by this service.",
)
_trace_sqlalchemy_opt = cfg.BoolOpt(
    "trace_sqlalchemy",
    default=False,
    help="Whether each SQL statement is a point of a trace. Needs `enabled`.",
)
_trace_requests_opt = cfg.BoolOpt(
    "trace_requests",
    default=False,
    help="Whether each HTTP request that this service makes with the library `requests` is a point of a trace.",
)
_hmac_keys_opt = cfg.StrOpt(
    "hmac_keys",
    default="SECRET_KEY",
    secret=True,
    help="Comma-separated keys. A request is traced if its trace headers are signed with one of them, so the services "
    "of a cloud need one in common. Whoever knows a key can have requests traced.",
)
_mask_secrets_opt = cfg.BoolOpt(
    "mask_secrets",
    default=_lenient.DEFAULTS["mask_secrets"],
    help="Whether what points carry under names such as `password`, `token` or `secret` is stored as `***`: in "
    "arguments, results and messages, in parameters of SQL statements, and in what programs add themselves. The names "
    "are those that oslo.utils masks in logs. What has no name, such as a positional argument, is not noticed.",
)
_publish_counters_opt = cfg.BoolOpt(
    "publish_counters",
    default=_lenient.DEFAULTS["publish_counters"],
    help="Whether each process that records keeps a small file with its counters (recorded, stored, lost) below "
    "`/run/osprofiler`, `$XDG_RUNTIME_DIR/osprofiler` or `/tmp/osprofiler-UID`, for `osprofiler doctor` to show.",
)
_connection_string_opt = cfg.StrOpt(
    "connection_string",
    default="messaging://",
    secret=True,
    help="The store that notifications go to, for example `sqlite:///var/lib/osprofiler/traces.db` or "
    "`file:///var/lib/osprofiler/traces.jsonl`; `osprofiler trace list --help` lists them. Several, separated by "
    "commas, get everything each.",
)
_es_doc_type_opt = cfg.StrOpt(
    "es_doc_type",
    default="notification",
    help="Not used: Elasticsearch's documents have no types here. Upstream's driver reads it.",
)
_es_scroll_time_opt = cfg.StrOpt(
    "es_scroll_time",
    default="2m",
    help="Not used: reading from Elasticsearch leaves no scroll open. Upstream's driver reads it.",
)
_es_scroll_size_opt = cfg.IntOpt(
    "es_scroll_size",
    default=_lenient.DEFAULTS["es_scroll_size"],
    help="Not used: how many documents a page of Elasticsearch has is fixed. Upstream's driver reads it.",
)
_socket_timeout_opt = cfg.FloatOpt(
    "socket_timeout",
    default=_lenient.DEFAULTS["socket_timeout"],
    help="Redis Sentinel: seconds that an answer may take; the default stands for the driver's own, 5.",
)
_sentinel_service_name_opt = cfg.StrOpt(
    "sentinel_service_name",
    default="mymaster",
    help="Redis Sentinel: the name under which the sentinels know the master.",
)
_filter_error_trace = cfg.BoolOpt(
    "filter_error_trace",
    default=_lenient.DEFAULTS["filter_error_trace"],
    help="Not needed: `osprofiler trace list --error-trace` lists traces with an error whatever it says. Drivers "
    "of your own have it as their attribute `filter_error_trace`.",
)

_queue_max_mib_opt = cfg.IntOpt(
    "queue_max_mib",
    default=_lenient.DEFAULTS["queue_max_mib"],
    min=_lenient.BOUNDS["queue_max_mib"][0],
    max=_lenient.BOUNDS["queue_max_mib"][1],
    help="MiB of memory, in each process and for each store, for notifications that wait while the store takes none. "
    "Beyond it the oldest go to files in `spool_folder`, or are lost and counted.",
)
_spool_folder_opt = cfg.StrOpt(
    "spool_folder",
    default=_lenient.DEFAULTS["spool_folder"],
    help="The absolute path of a folder that this service's user may write, for example `/var/lib/osprofiler/spool`. "
    "What waits for a store that failed, before that is tried again or once memory is full, and what waits when the "
    "process ends, is kept there in files and sent when the store is back, by this process or the next one of the same "
    "user with the same store. Without one, no such files are made.",
)
_spool_max_mib_opt = cfg.IntOpt(
    "spool_max_mib",
    default=_lenient.DEFAULTS["spool_max_mib"],
    min=_lenient.BOUNDS["spool_max_mib"][0],
    max=_lenient.BOUNDS["spool_max_mib"][1],
    help="MiB that all files in `spool_folder` may take together, of whichever process they are.",
)

_PROFILER_OPTS = [
    _enabled_opt,
    _trace_sqlalchemy_opt,
    _trace_requests_opt,
    _hmac_keys_opt,
    _connection_string_opt,
    _es_doc_type_opt,
    _es_scroll_time_opt,
    _es_scroll_size_opt,
    _socket_timeout_opt,
    _sentinel_service_name_opt,
    _filter_error_trace,
    _mask_secrets_opt,
    _queue_max_mib_opt,
    _spool_folder_opt,
    _spool_max_mib_opt,
    _publish_counters_opt,
]

_jaegerprofiler_opt_group = _group("profiler_jaeger", "Jaeger (no longer supported)")
_JAEGER_OPTS = [
    cfg.StrOpt(
        "service_name_prefix",
        deprecated_for_removal=True,
        deprecated_reason="Use OTLP instead.",
        help="Not used.",
    ),
    cfg.DictOpt(
        "process_tags",
        default={},
        deprecated_for_removal=True,
        deprecated_reason="Use OTLP instead.",
        help="Not used.",
    ),
]

_otlp_profiler_opt_group = _group("profiler_otlp", "OTLP")
_OTLP_OPTS = [
    cfg.StrOpt("service_name_prefix", help="OTLP: what goes before the service's name."),
]

_GROUPS = (
    (_profiler_opt_group, _PROFILER_OPTS),
    (_jaegerprofiler_opt_group, _JAEGER_OPTS),
    (_otlp_profiler_opt_group, _OTLP_OPTS),
)


def _register(conf):
    """Register all groups on ``conf``, each a new object: a group holds the state of its options."""
    for group, options in _GROUPS:
        if group.name not in conf._groups:
            conf.register_group(_group(group.name, group.title))
        conf.register_opts(options, group=group.name)


_register(cfg.CONF)


def set_defaults(
    conf,
    enabled=None,
    trace_sqlalchemy=None,
    hmac_keys=None,
    connection_string=None,
    es_doc_type=None,
    es_scroll_time=None,
    es_scroll_size=None,
    socket_timeout=None,
    sentinel_service_name=None,
    mask_secrets=None,
):
    """Register the options on a configuration and set the defaults that are given; the others keep theirs.

    :param conf: a ``ConfigOpts``, ``cfg.CONF`` or one of your own
    :param enabled: the default of the option of this name, and so all that follow; ``None`` leaves it

    >>> from oslo_config import cfg
    >>> from osprofiler import opts
    >>> conf = cfg.ConfigOpts()
    >>> opts.set_defaults(conf, enabled=True)
    >>> conf([], project="shop")
    >>> conf.profiler.enabled, conf.profiler.trace_sqlalchemy
    (True, False)
    """
    _register(conf)
    defaults = {
        "enabled": enabled,
        "trace_sqlalchemy": trace_sqlalchemy,
        "hmac_keys": hmac_keys,
        "connection_string": connection_string,
        "es_doc_type": es_doc_type,
        "es_scroll_time": es_scroll_time,
        "es_scroll_size": es_scroll_size,
        "socket_timeout": socket_timeout,
        "sentinel_service_name": sentinel_service_name,
        "mask_secrets": mask_secrets,
    }
    for name, value in defaults.items():
        if value is not None:
            conf.set_default(name, value, group=_profiler_opt_group.name)


def is_trace_enabled(conf=None):
    """Return whether this service traces, a bool.

    :param conf: a ``ConfigOpts``; by default ``cfg.CONF``
    """
    return (cfg.CONF if conf is None else conf).profiler.enabled


def is_db_trace_enabled(conf=None):
    """Return whether this service traces, its SQL statements too, a bool.

    :param conf: a ``ConfigOpts``; by default ``cfg.CONF``
    """
    conf = cfg.CONF if conf is None else conf
    return conf.profiler.enabled and conf.profiler.trace_sqlalchemy


def enable_web_trace(conf=None):
    """Turn the middleware on, with the configured keys, if this service traces.

    :param conf: a ``ConfigOpts``; by default ``cfg.CONF``
    """
    conf = cfg.CONF if conf is None else conf
    if conf.profiler.enabled:
        web.enable(conf.profiler.hmac_keys)


def disable_web_trace(conf=None):
    """Turn the middleware off if this service traces.

    :param conf: a ``ConfigOpts``; by default ``cfg.CONF``
    """
    if (cfg.CONF if conf is None else conf).profiler.enabled:
        web.disable()


def list_opts():
    """Return the options by group, for ``oslo-config-generator``.

    :returns: a list of pairs: a group's name and the list of its options
    """
    return [(group.name, list(options)) for group, options in _GROUPS]
