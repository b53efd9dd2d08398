# SPDX-License-Identifier: Apache-2.0
"""A MariaDB server with one database and one user of its own, from Debian's `mariadb-server-core`.

What a test writes into it need not survive a power cut, so it syncs nothing. A folder that has data already keeps it.
A server that starts removes what others have in the folder of temporary tables, so each has a folder of its own.
"""

import getpass
import socket
from collections.abc import Sequence
from pathlib import Path

from house.process import Server, capture, run
from house.waiting import free_port

USER = "osprofiler"
PASSWORD = "mariadb-secret"
READY_SECONDS = 60
ACCOUNTS = ("--skip-test-db", "--skip-name-resolve", "--auth-root-authentication-method=normal")


class MariaDB:
    """A server for as long as the `with` block lasts."""

    def __init__(self, folder: Path, database: str = "osprofiler", options: Sequence[str] = (), statements: str = ""):
        """Choose a port; data, log and process id go into the folder. Options are the server's."""
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self.temporary = self.folder / "temporary"
        self.port = free_port()
        self.url = f"mysql+pymysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"
        self.database = database
        self.socket = self.data / "mariadb.socket"
        self.statements = statements
        first = self.folder / "first.sql"
        # As root it wants to be told whether that is meant; it ignores what anybody else tells it.
        self.user = f"--user={getpass.getuser()}"
        self.server = Server(
            "mariadb",
            [
                "/usr/sbin/mariadbd",
                "--no-defaults",
                self.user,
                f"--datadir={self.data}",
                f"--tmpdir={self.temporary}",
                # Relative to the data: the path of a socket ends at 107 bytes.
                "--socket=mariadb.socket",
                f"--port={self.port}",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                f"--init-file={first}",
                "--character-set-server=utf8mb4",
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-doublewrite=0",
                "--innodb-log-file-size=32M",
                *options,
            ],
            self.folder,
        )

    def __enter__(self) -> "MariaDB":
        """Make its data where there is none, start it; return when it answers."""
        self.temporary.mkdir(parents=True, exist_ok=True)
        if not self.data.exists():
            self._install()
        (self.folder / "first.sql").write_text(
            f"CREATE DATABASE IF NOT EXISTS {self.database};\n"
            f"CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1';\n" + self.statements
        )
        try:
            self.start()
        except BaseException:
            self.server.end()
            raise
        return self

    def __exit__(self, *_) -> None:
        """End it."""
        self.server.end()

    def start(self) -> None:
        """Start it with the data it has; return when it answers."""
        self.server.start(self._greets, READY_SECONDS)

    def stop(self) -> None:
        """End it; its data stay."""
        self.server.end()

    def ask(self, statements: str, database: str = "") -> str:
        """Run statements as the owner and return what they print, a row a line."""
        mariadb = ["mariadb", "--no-defaults", "--batch", "--skip-column-names", "--default-character-set=utf8mb4"]
        owner = [f"--socket={self.socket}", "--user=root", f"--database={database}", f"--execute={statements}"]
        return capture([*mariadb, *owner], self.folder / "mariadb-client.log").data.strip()

    def _install(self) -> None:
        run(
            [
                "mariadb-install-db",
                "--no-defaults",
                self.user,
                f"--datadir={self.data}",
                f"--tmpdir={self.temporary}",
                *ACCOUNTS,
            ],
            self.folder / "install.log",
            what="making MariaDB's data",
        )

    def _greets(self) -> bool:
        """Say whether the server opens the conversation; it listens only after it has read `first.sql`."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return b"MariaDB" in connection.recv(128)
        except OSError:
            return False
