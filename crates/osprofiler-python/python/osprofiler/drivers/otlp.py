# SPDX-License-Identifier: Apache-2.0
"""An OpenTelemetry collector, by upstream's name. The native half writes to it."""

from osprofiler.drivers import store


class OTLP(store.LateStoreDriver):
    """An OpenTelemetry collector, over OTLP/HTTP."""

    @classmethod
    def get_name(cls):
        """Return the scheme."""
        return "otlp"

    def _get_service_name(self, conf, project, service):
        """Return the name under which a collector knows the service: ``[PREFIX-]PROJECT-SERVICE``."""
        prefix = getattr(getattr(conf, "profiler_otlp", None), "service_name_prefix", None)
        return "-".join(str(part) for part in (prefix, project, service) if part)
