# SPDX-License-Identifier: Apache-2.0
"""VMware Aria Operations for Logs (Log Insight), by upstream's names."""

from urllib import parse

from osprofiler import _native, exc
from osprofiler.drivers import store


class LogInsightDriver(store.StoreDriver):
    """A Log Insight server: ``loginsight://USER:PASSWORD@HOST``, user and password URL-encoded.

    Made whatever becomes of the server: the native half logs in when it is queried.
    """

    def __init__(self, connection_str, project=None, service=None, host=None, **kwargs):
        super().__init__(connection_str, project, service, host, **kwargs)
        user, password, server = _parts(connection_str)
        self._client = LogInsightClient(server, user, password)
        self._client.login()

    @classmethod
    def get_name(cls):
        """Return the scheme."""
        return "loginsight"

    def _read(self, question, *arguments):
        try:
            return super()._read(question, *arguments)
        except OSError as error:
            raise exc.LogInsightAPIError(str(error)) from None


class LogInsightClient:
    """What upstream's programs expect to log in to a server; here the native half does."""

    def __init__(self, host, username, password, api_port=9000, api_ssl_port=9543, query_timeout=60000):
        credentials = (parse.quote(part, safe="") for part in (username, password))
        self._connection_string = f"loginsight://{':'.join(credentials)}@{host}"

    def login(self):
        """Raise if the native half cannot be asked to.

        :raises ValueError: if its driver is no part of the build, or host, user and password are none
        """
        _native.check_connection(self._connection_string)


def _parts(connection_str):
    """Return user, password and host of a connection string that has just these."""
    credentials, at, host = parse.urlsplit(connection_str).netloc.partition("@")
    user, colon, password = credentials.partition(":")
    if not (at and colon) or "@" in host or ":" in password:
        raise ValueError(
            "a Log Insight connection string is `loginsight://USER:PASSWORD@HOST`, with `@` and `:` in user and "
            "password written as `%40` and `%3A`"
        )
    return parse.unquote(user), parse.unquote(password), host
