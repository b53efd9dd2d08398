# SPDX-License-Identifier: Apache-2.0
"""A certificate for 127.0.0.1 and localhost, and the authority that it comes from, which nobody trusts by itself."""

from collections.abc import Iterable
from pathlib import Path

from house.process import run


class Certificates:
    """The files `authority.pem`, `server.pem` and `server.key` in a folder, made where they are absent."""

    def __init__(self, folder: Path, addresses: Iterable[str] = ("127.0.0.1",)):
        """Make them, for these addresses; fail with openssl's words if that fails."""
        self.authority = folder / "authority.pem"
        self.certificate = folder / "server.pem"
        self.key = folder / "server.key"
        if not self.certificate.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._make(folder, addresses)

    def _make(self, folder: Path, addresses: Iterable[str]) -> None:
        log, authority_key, request = folder / "openssl.log", folder / "authority.key", folder / "server.csr"
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = folder / "names"
        names.write_text(f"subjectAltName = {', '.join(f'IP:{address}' for address in addresses)}, DNS:localhost\n")
        subject = ["-subj", "/CN=a test's authority"]
        run(
            [
                "openssl",
                "req",
                "-x509",
                *curve,
                "-days",
                "30",
                *subject,
                "-keyout",
                authority_key,
                "-out",
                self.authority,
            ],
            log,
        )
        run(["openssl", "req", *curve, "-subj", "/CN=localhost", "-keyout", self.key, "-out", request], log)
        signed = ["-CA", self.authority, "-CAkey", authority_key, "-CAcreateserial", "-days", "30", "-extfile", names]
        run(["openssl", "x509", "-req", "-in", request, *signed, "-out", self.certificate], log)
