"""A web server, and a proxy, that fail as they are told to."""

from __future__ import annotations

import hashlib
import http.client
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import quote, unquote


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes = b""


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Cut:
    """The connection ends after so many bytes of the body; `pause_s`: it is silent for that long before."""

    after: int
    pause_s: float = 0.0


Fault = Reply | Cut | Callable[[], None]  # the last: something happens, and the answer is good
RESET = Cut(-1)


@dataclass
class Server:
    """faults: of each path, those of its next requests; seen: every request there was."""

    answer: Callable[[Request], Reply]
    faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))
    always: dict[str, Fault] = field(default_factory=dict)
    seen: list[Request] = field(default_factory=list)
    url: str = ""

    def asked(self, method: str, path: str) -> list[Request]:
        return [request for request in self.seen if (request.method, request.path) == (method, path)]

    def fault(self, request: Request) -> Fault | None:
        self.seen.append(request)
        coming = self.faults[request.path]
        return coming.pop(0) if coming else self.always.get(request.path)

    @contextmanager
    def running(self) -> Iterator[Server]:
        mine = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with suppress(ConnectionError):  # who asked has hung up
                    self.reply()

            def reply(self) -> None:
                path = unquote(self.path.partition("?")[0])
                fault = mine.fault(Request(self.command, path, dict(self.headers)))
                if callable(fault):
                    fault()
                whole = Request(self.command, self.path, dict(self.headers))
                reply = fault if isinstance(fault, Reply) else mine.answer(whole)
                if isinstance(fault, Cut):
                    self.close_connection = True
                    if fault.after < 0:
                        return
                self.send_response(reply.status)
                for name, value in ({"Content-Length": str(len(reply.body))} | reply.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(reply.body[: fault.after] if isinstance(fault, Cut) else reply.body)
                if isinstance(fault, Cut):
                    self.wfile.flush()
                    time.sleep(fault.pause_s)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        yield self
        server.shutdown()
        server.server_close()


@dataclass
class Shelf:
    """Files by path, folders as pages of links."""

    files: dict[str, bytes]
    ranges: bool = True
    tags: bool = True

    def __call__(self, request: Request) -> Reply:
        path = unquote(request.path)
        if path not in self.files:
            return self._folder(path)
        data = self.files[path]
        tag = {"ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"'} if self.tags else {}
        start, _, end = request.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if self.ranges and start and not end and request.headers.get("If-Range") in (None, tag.get("ETag")):
            headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            return Reply(206, tag | headers, data[int(start) :])
        return Reply(200, tag, data)

    def _folder(self, path: str) -> Reply:
        base = path.rstrip("/") + "/"
        below = {name.removeprefix(base) for name in self.files if name.startswith(base)}
        names = {name.partition("/")[0] + ("/" if "/" in name else "") for name in below}
        page = "".join(f'<a href="{quote(name)}">x</a>' for name in sorted(names))
        return Reply(200, {"Content-Type": "text/html"}, page.encode()) if names else Reply(404, {})


def proxy(url: str) -> Callable[[Request], Reply]:
    """What another server says, whose signatures are over the host that was asked."""

    def answer(request: Request) -> Reply:
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        connection.request(request.method, request.path, headers=request.headers)
        response = connection.getresponse()
        headers = {name.title(): value for name, value in response.getheaders()}
        headers.pop("Transfer-Encoding", None)
        reply = Reply(response.status, headers, response.read())
        connection.close()
        return reply

    return answer
