"""Files on the web: asked for again where that can help, and gone on with where the connection broke."""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.collect.items import Unsteady
from pipeline.errors import SourceError

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

Found = TypeVar("Found")

ATTEMPTS = 5
FIRST_WAIT_S, MAX_WAIT_S = 0.5, 60.0
CONNECT_S, STALL_S = 10.0, 30.0  # without an answer; without a byte
PASSING = {408, 425, 429, 500, 502, 503, 504}
ASKED_AT_ONCE = 16


def options() -> dict[str, Any]:
    """fsspec's, for a file system on the web. Bytes come as they lie there; a large file may take any time."""
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=STALL_S)
    headers = {"Accept-Encoding": "identity"}
    return {"client_kwargs": {"timeout": timeout, "headers": headers, "middlewares": (_asked_again,)}}


def waits_s() -> Iterator[float]:
    """Between the attempts: twice as long each time, and never for two at once the same."""
    for attempt in range(ATTEMPTS - 1):
        yield FIRST_WAIT_S * 2**attempt * random.uniform(0.5, 1.5)


def insisted(call: Callable[[], Found]) -> Found:
    """What it returns, where it may break off half-way. Raises what it raises at last."""
    waits = waits_s()
    while True:
        try:
            return call()
        except _faults():
            if (wait_s := next(waits, None)) is None:
                raise
            time.sleep(wait_s)


def stamps(fs: Any, urls: Iterable[str]) -> dict[str, str]:
    """Size and tag or time of each file that is there, as far as the server tells them."""
    from fsspec.asyn import sync

    async def all_of_them(urls: list[str]) -> list[str | None]:
        gate = asyncio.Semaphore(ASKED_AT_ONCE)
        return await asyncio.gather(*(_stamp(fs, url, gate) for url in urls))

    urls = list(urls)
    found = insisted(lambda: sync(fs.loop, all_of_them, urls))
    return {url: stamp for url, stamp in zip(urls, found, strict=True) if stamp is not None}


class Download(io.RawIOBase):
    """One version of a file as a stream. Where the connection breaks, it goes on from there.

    Raises Unsteady where it can't, or the file has changed; SourceError where the server doesn't answer any more.
    """

    def __init__(self, fs: Any, url: str) -> None:
        super().__init__()
        self._fs, self._url, self._at = fs, url, 0
        self._response: ClientResponse | None = self._asked({})
        self._version = _version(self._response.headers)
        self.stamp = _stamp_of(self._response.headers)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _read(self, size: int) -> bytes:
        waits = waits_s()
        while True:
            try:
                data = self._some(self._response or self._gone_on(), size)
                self._at += len(data)
                return data
            except _faults() as error:
                self._hang_up()
                if (wait_s := next(waits, None)) is None:
                    raise _unanswered(self._url, error) from error
                time.sleep(wait_s)

    def _gone_on(self) -> ClientResponse:
        """The file from where the reading stopped; a server that knows no ranges sends it from its beginning."""
        if not self._version:
            raise Unsteady("the connection broke")
        response = self._response = self._asked({"Range": f"bytes={self._at}-", "If-Range": self._version})
        if _version(response.headers) != self._version:
            raise Unsteady("it changed")
        if response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {self._at}-"):
            return response
        passed = 0 if response.status == 200 else self._at + 1
        while passed < self._at and (data := self._some(response, min(1 << 20, self._at - passed))):
            passed += len(data)
        if passed != self._at:
            raise Unsteady("it changed")
        return response

    def _asked(self, headers: Mapping[str, str]) -> ClientResponse:
        from fsspec.asyn import sync

        async def ask() -> ClientResponse:
            session = await self._fs.set_session()
            response: ClientResponse = await session.get(self._fs.encode_url(self._url), headers=headers)
            return response

        response: ClientResponse = sync(self._fs.loop, ask)
        if response.status >= 400 and response.status != 416:  # that has no such range
            response.close()
            raise _refused(self._url, response)
        return response

    def _some(self, response: ClientResponse, size: int) -> bytes:
        from fsspec.asyn import sync

        data: bytes = sync(self._fs.loop, response.content.read, size)
        return data

    def _hang_up(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            self._fs.loop.call_soon_threadsafe(response.close)


async def _asked_again(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """A middleware of aiohttp's. Raises SourceError where no attempt is answered."""
    import aiohttp

    waits = waits_s()
    while True:
        told_s = 0.0
        why: object
        try:
            response = await handler(request)
        except aiohttp.ClientSSLError:
            raise
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            why = error
        else:
            if response.status not in PASSING:
                return response
            why, told_s = _said(response), _told_s(response.headers.get("Retry-After", ""))
            response.close()
        if (wait_s := next(waits, None)) is None:
            raise _unanswered(str(request.url), why)
        await asyncio.sleep(max(wait_s, told_s))


async def _stamp(fs: Any, url: str, gate: asyncio.Semaphore) -> str | None:
    async with gate:
        session = await fs.set_session()
        for ask in (session.head, session.get):  # there are servers that know no HEAD, and signatures for GET alone
            async with ask(fs.encode_url(url), allow_redirects=True) as response:
                if response.status < 400:
                    return _stamp_of(response.headers)
                if response.status in (404, 410):
                    return None
        if response.status in (401, 403):
            return _stamp_of({})
        raise _refused(url, response)


def _stamp_of(headers: Mapping[str, str]) -> str:
    size = None if headers.get("Content-Encoding", "identity") != "identity" else headers.get("Content-Length")
    return f"{size} {headers.get('ETag') or headers.get('Last-Modified') or ''}"


def _version(headers: Mapping[str, str]) -> str:
    """What tells two versions of a file apart byte by byte; nothing where nothing does."""
    tag = headers.get("ETag", "")
    encoded = headers.get("Content-Encoding", "identity") != "identity"
    return "" if encoded else tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def _told_s(retry_after: str) -> float:
    """Seconds that a server asks to be left alone: a number, or a date."""
    try:
        told = float(retry_after) if retry_after.strip().isdigit() else _until_s(parsedate_to_datetime(retry_after))
    except (TypeError, ValueError):
        return 0.0
    return min(told, MAX_WAIT_S)


def _until_s(moment: datetime) -> float:
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def _faults() -> tuple[type[Exception], ...]:
    import aiohttp

    return aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, TimeoutError, ConnectionError


def _refused(url: str, response: ClientResponse) -> Exception:
    if response.status in (404, 410):
        return FileNotFoundError(url)
    if response.status in (401, 403):
        return PermissionError(_said(response))
    return SourceError(f"the server says {_said(response)}", where=url, remedy="check the address")


def _said(response: ClientResponse) -> str:
    return f"{response.status} {response.reason}"


def _unanswered(url: str, why: object) -> SourceError:
    text = " ".join(str(why).split()) or type(why).__name__
    what = f"no network, or no answer in {ATTEMPTS} attempts: {text}"
    return SourceError(what, where=url, remedy="run it again later: it goes on from here")
