"""JSON of strangers, streamed: one object a line, or one array of objects. Memory is bounded by that of one object."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import IO, Any, NoReturn

from pipeline.errors import SourceError
from pipeline.feedback.rows import BOM, SHOWN, Raw

LINE_BYTES = 64 * 2**10
OBJECT_SIGNS = 4 * 2**20  # of one in an array: a task of Label Studio, with all that was drawn on it
PIECE_BYTES = 2**18
BLANKS = re.compile(r"[ \t\r\n]*")
TOO_LONG = f"a line of more than {LINE_BYTES} bytes"


def lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """None for one that is too long, of which never more than a piece is in memory."""
    while line := file.readline(LINE_BYTES + 1):
        if len(line) <= LINE_BYTES:
            yield line
            continue
        while not line.endswith(b"\n") and (line := file.readline(PIECE_BYTES)):
            pass
        yield None


def rows_of_lines(file: IO[bytes], name: str) -> Iterator[Raw]:
    """place: of the line; blank ones are passed over. Raises SourceError where the first other one is no object."""
    first = True
    for place, line in enumerate(lines(file), 1):
        if line is not None and not (line := line.removeprefix(BOM) if place == 1 else line).strip():
            continue
        raw = Raw(place, {}, "", TOO_LONG) if line is None else _row(place, line)
        if first and raw.fault:
            raise SourceError(f"line {place}: {raw.fault}", where=name, remedy="give one JSON object a line")
        first = False
        yield raw


def rows_of_array(file: IO[bytes], name: str) -> Iterator[Raw]:
    """Of a file that begins with `[`. What follows a place that is no JSON can't be read: the last row says so.

    Raises SourceError where not even the first object can be read.
    """
    text, place = _Text(file), 1
    try:
        text.take("[")
        while text.peek() != "]":
            raw = text.row(place)
            if place == 1 and raw.fault:
                raise ValueError(raw.fault)
            yield raw
            place += 1
            if text.peek() != "]":
                text.take(",")
        text.take("]")
        if text.peek():
            raise ValueError("something follows the list")
    except ValueError as error:
        if place == 1:
            raise SourceError(f"no list of JSON objects: {error}", where=name, remedy="export it again") from None
        yield Raw(place, {}, "", f"no JSON: {error}; from here on nothing was read")


def parsed(text: str) -> Any:
    """Raises ValueError where it is no JSON, has numbers that JSON has not, or a key twice in one object."""
    try:
        return DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _row(place: int, line: bytes) -> Raw:
    text = line.decode("utf-8", "surrogateescape")
    try:
        value = parsed(text)
    except ValueError as error:
        return Raw(place, {}, text, f"no JSON: {error}")
    return _of(place, value, text)


def _of(place: int, value: object, text: str) -> Raw:
    return Raw(place, value, text) if isinstance(value, dict) else Raw(place, {}, text, "no JSON object")


class _Text:
    """What is read of a file, from the place on that it was understood to."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._text, self._at, self._ended = file, "", 0, False
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")

    def peek(self) -> str:
        """The next sign that is no blank; empty at the end."""
        while True:
            self._at = BLANKS.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more()

    def take(self, sign: str) -> None:
        if (found := self.peek()) != sign:
            raise ValueError(f"{sign} should stand where {found or 'the end'} does")
        self._at += 1

    def row(self, place: int) -> Raw:
        """An object that is cut off is told from one that is wrong only by reading on, as far as one may reach."""
        self.peek()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:  # or else it may be a number's first half
                    break
            except json.JSONDecodeError as error:
                if self._ended:
                    raise ValueError(error.msg) from None
            except RecursionError:
                raise ValueError("nested too deep") from None
            if len(self._text) - self._at > OBJECT_SIGNS:
                raise ValueError(f"an object is wrong, or longer than {OBJECT_SIGNS} signs")
            self._more()
        raw = _of(place, value, self._text[self._at : min(end, self._at + SHOWN + 1)])
        self._at = end
        return raw

    def _more(self) -> None:
        piece = self._file.read(PIECE_BYTES)
        self._text = self._text[self._at :] + self._decode.decode(piece, not piece)
        self._at, self._ended = 0, not piece


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key that is there twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)
