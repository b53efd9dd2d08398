# SPDX-License-Identifier: Apache-2.0
"""OpenSearch reached in every way there is: as it is, and through a front that has TLS, a user and API keys.

The front stands for the plug-in that the node here does not have: it ends TLS, refuses whoever it does not know in the
plug-in's words, and hands everything else on as it came. A store is an index.
"""

import base64
import contextlib
import http.client
import json
import shutil
import ssl
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from servers.certificates import Certificates
from servers.opensearch import OpenSearch

USER = "tracer"
# With what an address would trip over.
PASSWORD = "search@secret/1?"
ENCODED_PASSWORD = "search%40secret%2F1%3F"
API_KEY = "osprofiler:search-key"


class Front:
    """What stands before a node for as long as the `with` block lasts, with TLS if there are certificates.

    `answer`, where it is set, is asked first, with the method, the path, the body, and a function that asks the node:
    what it returns, a status and an object or text, is answered; where it is nothing, the node is asked. `requests` is
    what was asked, each as its method and path.
    """

    def __init__(self, port: int, certificates: Certificates | None = None, *, with_users: bool = False):
        """Choose a port; the node is the one at the other port."""
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_) -> None:
                pass

            def handle(self) -> None:
                # Who hangs up before the answer is none of our business.
                with contextlib.suppress(ConnectionError):
                    super().handle()

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, kind, data = front.handle(self.command, self.path, self.headers, body)
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

        self.node_port = port
        self.answer = None
        self.requests: list[tuple[str, str]] = []
        self.known: set[str] | None = None
        if with_users:
            self.know()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.certificate, certificates.key)
            # The handshake is the business of the connection's own thread.
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self.server.server_port

    def know(self) -> None:
        """Let in only the one user, and the bearer of the one key."""
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        key = base64.b64encode(API_KEY.encode()).decode()
        self.known = {f"Basic {basic}", f"ApiKey {key}"}

    def handle(self, method: str, path: str, headers, body: bytes) -> tuple[int, str, bytes]:
        """Return status, kind and bytes of the answer to a request."""
        self.requests.append((method, path))
        told = None
        if self.known is not None and headers.get("authorization") not in self.known:
            error = {"type": "security_exception", "reason": "missing authentication credentials for REST request"}
            told = (401, {"error": {"root_cause": [error], **error}, "status": 401})
        elif self.answer is not None:
            told = self.answer(method, path, body, lambda: self._ask_node(method, path, headers, body))
        if told is None:
            return self._ask_node(method, path, headers, body)
        status, answer = told
        data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        return status, "application/json", data

    def _ask_node(self, method: str, path: str, headers, body: bytes) -> tuple[int, str, bytes]:
        node = http.client.HTTPConnection("127.0.0.1", self.node_port, timeout=120)
        try:
            kind = headers.get("content-type")
            node.request(method, path, body, {"content-type": kind} if kind else {})
            answer = node.getresponse()
            return answer.status, answer.headers.get("content-type") or "text/plain", answer.read()
        finally:
            node.close()

    def __enter__(self) -> "Front":
        """Let it answer."""
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()


class OpenSearchStores:
    """The node and its front for as long as the `with` block lasts; `stores` says how to reach them."""

    def __init__(self, folder: Path):
        """Describe them; their files go below the folder."""
        self.folder = folder.resolve()
        self.node = OpenSearch(self.folder / "node")
        self.running = ExitStack()
        self.stores: list[str] = []

    def __enter__(self) -> "OpenSearchStores":
        """Start them, empty; return when both answer."""
        with ExitStack() as starting:
            node = self.node
            shutil.rmtree(node.folder / "data", ignore_errors=True)
            starting.enter_context(node)
            files = Certificates(self.folder / "certificates")
            front = starting.enter_context(Front(node.port, files, with_users=True))
            name = f"OpenSearch {node.ask('GET', '/')['version']['number']}"
            secure = f"localhost:{front.port}"
            options = f"tls_ca_file={files.authority}"
            self.stores = [
                f"{name}|{node.url}/?index=plain-{{}}",
                # Nobody listens at the first address.
                f"{name}, a front with TLS and a user|elasticsearchs://{USER}:{ENCODED_PASSWORD}@127.0.0.1:1,{secure}/"
                f"?index=front-{{}}&{options}",
            ]
            self.running = starting.pop_all()
        return self

    def __exit__(self, *_) -> None:
        """End them."""
        self.running.close()
