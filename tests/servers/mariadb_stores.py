# SPDX-License-Identifier: Apache-2.0
"""A MariaDB server that is reached in every way there is: with a password, over TLS, by its socket.

Each way has databases of its own, one for each store.
"""

from pathlib import Path

from servers.certificates import Certificates
from servers.mariadb import MariaDB

USER = "tracer"
# With what an address would trip over.
PASSWORD = "mariadb@secret/1?"
ENCODED_PASSWORD = "mariadb%40secret%2F1%3F"
STORES = 40


class MariaDBStores(MariaDB):
    """The server for as long as the `with` block lasts; `stores` says how to reach it."""

    def __init__(self, folder: Path):
        """Choose a port; data, logs and process ids go into the folder."""
        self.certificates = Certificates(folder / "certificates")
        files = self.certificates
        tls = [f"--ssl-ca={files.authority}", f"--ssl-cert={files.certificate}", f"--ssl-key={files.key}"]
        accounts = "".join(
            f"CREATE USER IF NOT EXISTS '{USER}'@'{host}' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON `way%`.* TO '{USER}'@'{host}';\n"
            for host in ("127.0.0.1", "localhost")
        )
        names = (f"way{way}_{store}" for way in range(3) for store in range(STORES))
        # What an earlier run left goes with its database.
        databases = "".join(f"DROP DATABASE IF EXISTS {name};\nCREATE DATABASE {name};\n" for name in names)
        super().__init__(folder, options=tls, statements=accounts + databases)

    def user_url(self, scheme: str = "mysql", host: str = "127.0.0.1") -> str:
        """Return the server's address, with user and password."""
        return f"{scheme}://{USER}:{ENCODED_PASSWORD}@{host}:{self.port}"

    @property
    def stores(self) -> list[str]:
        """What tests/conformance/servers.rs reads."""
        name = f"MariaDB {self.ask('SELECT VERSION()').split('-')[0]}"
        trusted = f"ssl_ca={self.certificates.authority}"
        return [
            f"{name}|{self.user_url()}/way0_{{}}",
            f"{name}, TLS|{self.user_url('mysql+pymysql', 'localhost')}/way1_{{}}?{trusted}",
            f"{name}, its socket|mariadb://{USER}:{ENCODED_PASSWORD}@/way2_{{}}?unix_socket={self.socket}",
        ]
