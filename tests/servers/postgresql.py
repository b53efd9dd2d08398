# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server that is reached in every way there is, from Debian's `postgresql`.

It trusts its own user, `postgres`, on this machine; the user of tests has a password. It refuses to run as root and its
user cannot enter root's folders, so its data lies below /tmp and is removed with the server. What a test writes need
not survive a power cut, so it syncs nothing.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from house.debian import find
from house.process import END_SECONDS, Server, capture, run
from house.waiting import free_port
from servers.certificates import Certificates

OWNER = "postgres"
USER = "osprofiler"
# With what an address would trip over.
PASSWORD = "postgresql@secret/1?"
ENCODED_PASSWORD = "postgresql%40secret%2F1%3F"
DATABASE = "osprofiler"
# Who has the certificate is this user, which nobody makes here.
CERTIFIED = "localhost"
READY_SECONDS = 120
# Who may come in which way.
ADDRESSES = f"""
local   all {OWNER} trust
host    all {OWNER} 127.0.0.1/32 trust
hostssl all {CERTIFIED} all cert
host    all all all scram-sha-256
local   all all scram-sha-256
"""
# Each way of reaching it has so many stores of its own: schemas.
STORES = 40


class PostgreSQL:
    """A server for as long as the `with` block lasts; its owner's database is `postgres`, the user's `osprofiler`."""

    def __init__(self, folder: Path):
        """Choose a port; log and process id go into the folder."""
        self.folder = folder
        self.port = free_port()
        self.url = f"postgresql+psycopg2://{OWNER}@127.0.0.1:{self.port}/postgres"
        self.certificates: Certificates | None = None
        self.stores: list[str] = []
        self.data: Path | None = None
        self.become = ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups"] if os.geteuid() == 0 else []
        self.server: Server | None = None

    def user_url(self, scheme: str = "postgresql", host: str = "127.0.0.1") -> str:
        """Return the address of the user's database, with the password."""
        return f"{scheme}://{USER}:{ENCODED_PASSWORD}@{host}:{self.port}/{DATABASE}"

    def __enter__(self) -> "PostgreSQL":
        """Make its data and start it; return when it answers and knows its users."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.certificates = Certificates(self.folder / "certificates")
        self.data = Path(tempfile.mkdtemp(prefix="osprofiler-postgresql-", dir="/tmp"))
        try:
            if self.become:
                shutil.chown(self.data, OWNER, OWNER)
            initdb = [find("initdb"), "--auth=trust", f"--username={OWNER}", "--no-sync", f"--pgdata={self.data}"]
            run([*self.become, *initdb], self.folder / "initdb.log", what="making PostgreSQL's data", cwd=self.data)
            self._configure()
            options = ["-D", self.data, "-k", self.data, "-h", "127.0.0.1", "-p", str(self.port), "-F"]
            self.server = Server("postgresql", [*self.become, find("postgres"), *options], self.folder)
            self.start()
            self._make_stores()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        """End it and remove its data."""
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)

    def start(self) -> None:
        """Start it with the data it has; return when it answers."""
        self.server.start(self._answers, READY_SECONDS)

    def stop(self) -> None:
        """End it, whoever is connected; its data stay."""
        if self.server is None:
            return
        if self.server.child is not None:
            self.server.child.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.server.child.wait(END_SECONDS)
        self.server.end()

    def ask(self, statements: str, database: str = "postgres") -> str:
        """Run statements as the owner and return what they print, a row a line."""
        psql = ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-h", str(self.data), "-p", str(self.port)]
        command = [*psql, "-U", OWNER, "-d", database, "-c", statements]
        return capture(command, self.folder / "psql.log").data.strip()

    def _configure(self) -> None:
        """Say who may come, and turn TLS on, with files that the server's user may read and nobody else."""
        (self.data / "pg_hba.conf").write_text(ADDRESSES)
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write("ssl = on\n")
            files = self.certificates
            for name, file in {"cert": files.certificate, "key": files.key, "ca": files.authority}.items():
                copy = self.data / file.name
                shutil.copyfile(file, copy)
                copy.chmod(0o600)
                if self.become:
                    shutil.chown(copy, OWNER, OWNER)
                settings.write(f"ssl_{name}_file = '{file.name}'\n")

    def _make_stores(self) -> None:
        self.ask(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        self.ask(f"CREATE DATABASE {DATABASE} OWNER {USER} ENCODING UTF8 TEMPLATE template0")
        name = f"PostgreSQL {self.ask('SHOW server_version').split()[0]}"
        socket = f"{USER}:{ENCODED_PASSWORD}@/{DATABASE}?host={self.data}&port={self.port}"
        trusted = f"sslmode=verify-full&sslrootcert={self.certificates.authority}"
        ways = {
            "": f"{self.user_url()}?",
            "without TLS": f"{self.user_url('postgresql+psycopg')}?sslmode=disable&",
            "TLS": f"{self.user_url('postgresql+psycopg2', 'localhost')}?{trusted}&",
            "its socket": f"postgresql://{socket}&",
        }
        for number, (way, url) in enumerate(ways.items()):
            schemas = (f"CREATE SCHEMA way{number}_{store} AUTHORIZATION {USER};" for store in range(STORES))
            self.ask("".join(schemas), DATABASE)
            line = f"{name}, {way}" if way else name
            self.stores.append(f"{line}|{url}options=-csearch_path%3Dway{number}_{{}}")

    def _answers(self) -> bool:
        ready = [find("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0
