"""A proxy before a real S3 that fails a share of the requests, in the ways in which an S3 and a network fail."""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

KINDS = ("500", "503", "reset before", "reset after", "cut short", "delay")
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
INTERNAL = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
OF_ONE_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "expect")


@dataclass
class FaultyS3:
    """share: of requests that fail; planned: what befalls the next ones, before chance has its say, None for nothing.

    failed: how many did, by kind; seen: methods and paths of all requests; damage: whether bodies lose their first
    byte on the way to the server.
    """

    upstream: str
    share: float = 0.1
    seed: int = 0
    delay_s: float = 0.05
    kinds: tuple[str, ...] = KINDS
    planned: list[str | None] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    seen: list[tuple[str, str]] = field(default_factory=list)
    damage: int = 0
    url: str = ""
    port: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()

    def fault(self, method: str, path: str) -> str | None:
        with self._lock:
            self.seen.append((method, path))
            draw, kind = self._random.random(), self._random.choice(self.kinds)
            chosen = self.planned.pop(0) if self.planned else (kind if draw < self.share else None)
            if chosen:
                self.failed[chosen] += 1
            return chosen

    def damaged(self, body: bytes) -> bytes:
        with self._lock:
            if not (self.damage and body):
                return body
            self.damage -= 1
            return bytes([body[0] ^ 1]) + body[1:]

    @contextmanager
    def running(self) -> Iterator[FaultyS3]:
        """At the same address each time that it is entered; nobody listens there between."""
        server = _Server(("127.0.0.1", self.port), _handler(self))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self.port = server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.hang_up()
            server.server_close()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.open: set[socket.socket] = set()

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self.open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Connections that are kept alive would be answered by a server that is down."""
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _handler(mine: FaultyS3) -> type[BaseHTTPRequestHandler]:
    address = urlsplit(mine.upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            with suppress(ConnectionError):  # who asked has hung up
                self.answer()

        do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET

        def answer(self) -> None:
            body = mine.damaged(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            kind = mine.fault(self.command, self.path)
            if kind == "reset before":
                return self.reset()
            if kind in ("500", "503"):
                return self.say(int(kind), [], INTERNAL if kind == "500" else SLOW_DOWN)
            if kind == "delay":
                time.sleep(mine.delay_s)
            status, headers, content = self.ask(body)
            if kind == "reset after":
                return self.reset()
            self.say(status, headers, content, cut_short=kind == "cut short")

        def ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(address)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in OF_ONE_HOP}
            headers["Content-Length"] = str(len(body))
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            content = response.read()
            told = [(name, value) for name, value in response.getheaders() if name.lower() not in OF_ONE_HOP]
            length = response.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(content))
            connection.close()
            return response.status, [*told, ("Content-Length", length)], content

        def say(self, status: int, headers: list[tuple[str, str]], body: bytes, cut_short: bool = False) -> None:
            """cut_short: in the middle of the body, or of the headers where there is none."""
            told = headers or [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
            head = f"HTTP/1.1 {status} x\r\n" + "".join(f"{name}: {value}\r\n" for name, value in told)
            whole = head.encode("latin-1") + b"\r\n" + (b"" if self.command == "HEAD" else body)
            if cut_short:
                self.close_connection = True
                whole = whole[: len(head) + 2 + len(body) // 2] if body else whole[: len(head) // 3]
            self.wfile.write(whole)

        def reset(self) -> None:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

        def log_message(self, *_: object) -> None:
            pass

    return Handler
