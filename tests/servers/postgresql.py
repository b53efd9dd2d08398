# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server that trusts everybody on this machine, from Debian's `postgresql`.

It refuses to run as root and its user cannot enter root's folders, so as root its data lies below /tmp, is that user's,
and is removed with the server. What a test writes need not survive a power cut, so it syncs nothing.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from house.debian import find
from house.process import Server, run
from house.waiting import free_port

USER = "postgres"
READY_SECONDS = 60


class PostgreSQL:
    """A server for as long as the `with` block lasts; its database is `postgres`."""

    def __init__(self, folder: Path):
        """Choose a port; log and process id go into the folder."""
        self.folder = folder
        self.port = free_port()
        self.url = f"postgresql+psycopg2://{USER}@127.0.0.1:{self.port}/postgres"
        self.data: Path | None = None
        self.become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.geteuid() == 0 else []
        self.server: Server | None = None

    def __enter__(self) -> "PostgreSQL":
        """Make its data and start it; return when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = Path(tempfile.mkdtemp(prefix="osprofiler-postgresql-", dir="/tmp"))
        try:
            if self.become:
                shutil.chown(self.data, USER, USER)
            initdb = [find("initdb"), "--auth=trust", f"--username={USER}", "--no-sync", f"--pgdata={self.data}"]
            run([*self.become, *initdb], self.folder / "initdb.log", what="making PostgreSQL's data", cwd=self.data)
            options = ["-D", self.data, "-k", self.data, "-h", "127.0.0.1", "-p", str(self.port), "-F"]
            self.server = Server("postgresql", [*self.become, find("postgres"), *options], self.folder)
            self.server.start(self._answers, READY_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        """End it and remove its data."""
        if self.server is not None:
            self.server.end()
        shutil.rmtree(self.data, ignore_errors=True)

    def _answers(self) -> bool:
        ready = [find("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0
