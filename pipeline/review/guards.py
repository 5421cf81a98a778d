"""What holds of every answer and every request, whoever asks: headers that browsers obey, and how much is taken."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger("genloop.review")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SAFE = ("GET", "HEAD", "OPTIONS")
YEAR_S = 365 * 24 * 3600


def content_policy(images: Sequence[str] = ()) -> str:
    """Nothing but our own script, style and images; images also from these origins."""
    sources = " ".join(("'self'", *images))
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src {sources}; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    )


class Guards:
    """ASGI. Bodies above `most` bytes are refused with 413 before anything is made of them."""

    def __init__(self, app: ASGIApp, most: int, secure: bool) -> None:
        self.app, self.most, self.secure = app, most, secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._head(scope, MutableHeaders(scope=message))
            await send(message)

        body = await _body(scope, receive, self.most)
        if body is None:
            await _refuse(guarded, 413, "the body is too long", "send less at once")
        elif scope["method"] not in SAFE and _is_foreign(Headers(scope=scope)):
            await _refuse(guarded, 403, "this came from another site's page", "open the page itself")
        else:
            await self.app(scope, _replayed(body, receive), guarded)
        took_ms = (time.monotonic() - began) * 1000
        LOG.info("%s %r %d %.0f ms", scope["method"], scope["path"], status, took_ms)  # no query: it may be signed

    def _head(self, scope: Scope, headers: MutableHeaders) -> None:
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("Content-Security-Policy", content_policy())
        headers.setdefault("Cache-Control", "no-store")
        if self.secure or scope["scheme"] == "https":
            headers.setdefault("Strict-Transport-Security", f"max-age={YEAR_S}")


async def _body(scope: Scope, receive: Receive, most: int) -> bytes | None:
    """The whole body; None where it is longer, or says so."""
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if not length.isdigit() or int(length) > most:
        return None
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            return None
        if not message.get("more_body"):
            break
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _is_foreign(headers: Headers) -> bool:
    """Whether a browser says that the page of another site sent it. The origin may lack what a proxy made of us."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


async def _refuse(send: Send, status: int, error: str, remedy: str) -> None:
    body = json.dumps({"error": error, "remedy": remedy}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
