# SPDX-License-Identifier: Apache-2.0
"""Elasticsearch and OpenSearch, by upstream's name. The native half writes and reads them."""

from urllib import parse

from osprofiler.drivers import store


class ElasticsearchDriver(store.LateStoreDriver):
    """An Elasticsearch or OpenSearch server."""

    def __init__(
        self,
        connection_str,
        index_name="osprofiler-notifications",
        project=None,
        service=None,
        host=None,
        **kwargs,
    ):
        if index_name != "osprofiler-notifications":
            separator = "&" if "?" in connection_str else "?"
            connection_str += f"{separator}index={parse.quote(index_name, safe='')}"
        super().__init__(connection_str, project, service, host, **kwargs)
        self.index_name = index_name

    @classmethod
    def get_name(cls):
        """Return the scheme."""
        return "elasticsearch"
