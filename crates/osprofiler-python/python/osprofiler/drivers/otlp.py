# SPDX-License-Identifier: Apache-2.0
"""An OpenTelemetry collector, by upstream's name. The native half writes to it; nothing reads it."""

from osprofiler.drivers import store


class OTLP(store.LateStoreDriver):
    """An OpenTelemetry collector, over HTTP or gRPC.

    ``conf.profiler_otlp.service_name_prefix`` holds where the connection string has no ``service_name_prefix``. Whoever
    asks for traces is told of none: they are where the collector has sent them.
    """

    def __init__(self, connection_str, project=None, service=None, host=None, **kwargs):
        prefix = _prefix(kwargs.get("conf"))
        if prefix:
            connection_str = store.with_option(connection_str, "service_name_prefix", prefix)
        super().__init__(connection_str, project, service, host, **kwargs)

    @classmethod
    def get_name(cls):
        """Return the scheme."""
        return "otlp"

    def get_report(self, base_id):
        """Return the report of no notifications."""
        return self._parse_results()

    def list_traces(self, fields=None):
        """Return an empty list."""
        return []

    def list_error_traces(self):
        """Return an empty list."""
        return []

    def _get_service_name(self, conf, project, service):
        """Return the name under which a collector knows the service: ``[PREFIX-]PROJECT-SERVICE``."""
        return "-".join(str(part) for part in (_prefix(conf), project, service) if part)


def _prefix(conf):
    return getattr(getattr(conf, "profiler_otlp", None), "service_name_prefix", None)
