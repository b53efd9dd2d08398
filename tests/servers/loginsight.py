# SPDX-License-Identifier: Apache-2.0
"""A stand-in for VMware Aria Operations for Logs (Log Insight), which is to be had nowhere: not the real thing.

It is written from what osprofiler 4.4.0 says on the wire and from the API as its maker publishes it
(https://vmw-loginsight.github.io): logins, the ingestion of events, and queries with the constraints CONTAINS, GT and
LE. What it takes and refuses is what is written there, not more: that the real one does the same, no test here shows.

In: requests to one port without TLS, which takes events, and to one with TLS, which takes everything. Out: the answers
of the API, or what a test has it say. Each address that it listens at is a store of its own.
"""

import contextlib
import json
import selectors
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, unquote_plus, urlsplit

from servers.certificates import Certificates

USER = "osprofiler@example"
PASSWORD = "loginsight:secret@1"
LOGIN = "osprofiler%40example:loginsight%3Asecret%401"
# What a request may hold, and an answer.
MOST_EVENTS, MOST_BYTES, MOST_RESULTS = 500, 4_000_000, 20_000

# A status and a body, JSON unless it is a text.
Answer = tuple[int, dict | str]
# What to answer a request of that method, path and body; None leaves it to the API.
Say = Callable[[str, str, bytes], Answer | None]


class LogInsight:
    """A server for as long as the `with` block lasts."""

    def __init__(self, folder: Path, addresses: tuple[str, ...] = ("127.0.0.1",)):
        """Choose ports, the same at all addresses."""
        self.addresses = addresses
        self.certificates = Certificates(folder / "certificates", addresses)
        self.say: Say = lambda method, path, body: None
        # Of all addresses: method and path of each request, in order.
        self.requests: list[tuple[str, str]] = []
        # Events by address, in the order of their arrival.
        self.events: dict[str, list[dict]] = {address: [] for address in addresses}
        self.sessions: set[str] = set()
        self.ended_sessions: set[str] = set()
        self.lock = threading.Lock()
        self.port = self.tls_port = 0

    def __enter__(self) -> "LogInsight":
        """Begin to listen, again at the same ports."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.certificates.certificate, self.certificates.key)
        self.stop, self.stopped = socket.socketpair()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.stopped, selectors.EVENT_READ)
        self.listeners: list[socket.socket] = []
        self.connections: set[socket.socket] = set()
        for address in self.addresses:
            for name, context in (("port", None), ("tls_port", tls)):
                listener = socket.create_server((address, getattr(self, name)))
                setattr(self, name, listener.getsockname()[1])
                self.listeners.append(listener)
                self.selector.register(listener, selectors.EVENT_READ, (address, context))
        self.acceptor = threading.Thread(target=self._accept)
        self.acceptor.start()
        return self

    def __exit__(self, *_) -> None:
        """End all connections."""
        self.stop.close()
        self.acceptor.join()
        self.selector.close()
        self.hang_up()
        for each in [self.stopped, *self.listeners]:
            each.close()

    def url(self, options: str = "", address: str = "127.0.0.1", login: str = LOGIN) -> str:
        """Return the connection string to it."""
        trust = "" if "tls_" in options else f"&tls_ca_file={self.certificates.authority}"
        ports = f"api_port={self.port}&api_ssl_port={self.tls_port}"
        return f"loginsight://{login}@{address}?{ports}{trust}{options and '&' + options}"

    def end_sessions(self) -> None:
        """Let all sessions have lasted too long."""
        self.ended_sessions |= self.sessions
        self.sessions.clear()

    def forget_events(self) -> None:
        """Have no events any more."""
        with self.lock:
            self.events = {address: [] for address in self.addresses}

    def forget_sessions(self) -> None:
        """Know of no session, as another server of a cluster."""
        self.sessions.clear()

    def hang_up(self) -> None:
        """End the connections, and go on listening."""
        for each in list(self.connections):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def answer(self, address: str, is_secure: bool, handler: BaseHTTPRequestHandler) -> Answer:
        """Return the answer to a request."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        url = urlsplit(handler.path)
        self.requests.append((handler.command, handler.path))
        said = self.say(handler.command, handler.path, body)
        if said is not None:
            return said
        with self.lock:
            match handler.command, url.path.split("/")[1:]:
                case "POST", ["api", "v1", "events", "ingest", agent]:
                    uuid.UUID(agent)
                    return self._ingest(address, body)
                case "POST", ["api", "v1", "sessions"] if is_secure:
                    return self._log_in(body)
                case "GET", ["api", "v1", "events", *constraints] if is_secure:
                    return self._session_fault(handler.headers) or self._query(
                        address, constraints, parse_qs(url.query)
                    )
            return 404, {"errorMessage": f"no {handler.path} here"}

    def _log_in(self, body: bytes) -> Answer:
        login = json.loads(body)
        if (login["username"], login["password"], login.get("provider", "Local")) != (USER, PASSWORD, "Local"):
            return 401, {"errorMessage": "Invalid username or password.", "errorCode": "FIELD_ERROR"}
        session = uuid.uuid4().hex
        self.sessions.add(session)
        return 200, {"userId": str(uuid.uuid4()), "sessionId": session, "ttl": 1800}

    def _session_fault(self, headers) -> Answer | None:
        session = headers.get("X-LI-Session-Id")
        if session in self.sessions:
            return None
        return (440, "Login Timeout") if session in self.ended_sessions else (401, "Invalid session ID")

    def _ingest(self, address: str, body: bytes) -> Answer:
        if len(body) > MOST_BYTES:
            return 413, {"errorMessage": "Request too large"}
        events = json.loads(body).get("events")
        if not isinstance(events, list) or not 0 < len(events) <= MOST_EVENTS or not all(map(is_event, events)):
            return 400, {"errorMessage": "Missing events"}
        now = time.time_ns() // 1_000_000
        self.events[address] += [{"timestamp": now, **event} for event in events]
        return 200, {"status": "ok", "message": "events ingested", "ingested": len(events)}

    def _query(self, address: str, constraints: list[str], options: dict[str, list[str]]) -> Answer:
        assert int(options["timeout"][0]) > 0
        wanted = [
            (unquote(field), *unquote_plus(test).split(" ", 1))
            for field, test in zip(constraints[::2], constraints[1::2], strict=True)
        ]
        found = [event for event in self.events[address] if all(fulfils(event, *one) for one in wanted)]
        # The newest first.
        found = sorted(reversed(found), key=lambda event: -event["timestamp"])
        limit = min(int(options.get("limit", ["100"])[0]), MOST_RESULTS)
        return 200, {"complete": True, "duration": 1, "events": [as_found(event, address) for event in found[:limit]]}

    def _accept(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.data is None:
                    return
                connection, client = key.fileobj.accept()
                threading.Thread(target=self._serve, args=(connection, client, *key.data), daemon=True).start()

    def _serve(self, connection: socket.socket, client, address: str, tls: ssl.SSLContext | None) -> None:
        # Who hangs up, or doesn't trust us, is none of our business.
        with contextlib.suppress(OSError):
            if tls:
                connection = tls.wrap_socket(connection, server_side=True)
            self.connections.add(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            handler(self, address, is_secure=bool(tls))(connection, client, None)
        self.connections.discard(connection)
        connection.close()


def handler(server: LogInsight, address: str, *, is_secure: bool) -> type[BaseHTTPRequestHandler]:
    """Return what handles the requests of a connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            status, body = server.answer(address, is_secure, self)
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    return Handler


def is_event(event) -> bool:
    """Say whether it is one that the API takes."""
    return isinstance(event["text"], str) and all(
        field.keys() == {"name", "content"} and all(isinstance(text, str) for text in field.values())
        for field in event.get("fields", [])
    )


def contents(event: dict) -> dict[str, str]:
    """Return the contents of an event's fields, by their names."""
    return {field["name"]: field["content"] for field in event.get("fields", [])}


def fulfils(event: dict, field: str, operator: str, value: str = "") -> bool:
    """Say whether an event is what a constraint asks for."""
    text = event.get(field) if field in ("text", "timestamp") else contents(event).get(field)
    match operator:
        case "CONTAINS":
            return text is not None and value.lower() in text.lower()
        case "GT":
            return text > int(value)
        case "LE":
            return text <= int(value)
    raise ValueError(operator)


def as_found(event: dict, address: str) -> dict:
    """Return an event as a query finds it: with fields that the server adds."""
    fields = [{"name": "source", "content": address}, {"name": "event_type", "content": "v4_4eca2033"}]
    shown = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(event["timestamp"] / 1000))
    return {**event, "timestampString": shown, "fields": [*fields, *event.get("fields", [])]}


class Stores:
    """A server with a store for each check, reached with TLS for everything and as upstream does; `stores` says how."""

    def __init__(self, folder: Path):
        """Choose addresses and ports."""
        self.server = LogInsight(folder, tuple(f"127.0.{way}.{n}" for way in (2, 3) for n in range(1, 100)))
        self.stores: list[str] = []

    def __enter__(self) -> "Stores":
        """Start it."""
        self.server.__enter__()
        self.stores = [
            f"a stand-in for Log Insight|{self.server.url(address='127.0.2.{}')}",
            f"a stand-in for Log Insight, TLS|{self.server.url('ingest_tls=true', address='127.0.3.{}')}",
        ]
        return self

    def __exit__(self, *failed) -> None:
        """End it."""
        self.server.__exit__(*failed)


class OneAddress(LogInsight):
    """A server of which all stores are at the same address: for who tells them apart by their traces."""

    @property
    def stores(self) -> list[str]:
        """How it is reached."""
        return [f"a stand-in for Log Insight|{self.url()}"]
