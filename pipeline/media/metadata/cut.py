"""Bytes without some of their stretches."""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple


class MetadataError(ValueError):
    """There is metadata that can't be taken out; the reason is short."""


class Stripped(NamedTuple):
    """The bytes that are kept, and what was taken out: plain names, sorted. No names: `data` is what was given."""

    data: bytes
    kinds: tuple[str, ...]


class Cut:
    """Takes stretches out of `data`, front to back. In memory once more at most, however many stretches there are."""

    def __init__(self, data: bytes) -> None:
        self.kinds: set[str] = set()
        self._data, self._view = data, memoryview(data)
        self._out, self._upto = bytearray(), 0

    @property
    def removed(self) -> int:
        """Bytes fewer, up to here."""
        return self._upto - len(self._out)

    def out(self, start: int, end: int, kinds: Set[str], instead: bytes = b"") -> None:
        """data[start:end] goes, `instead` stands in its place: where that is the same, nothing was taken out."""
        if start >= end or (len(instead) == end - start and self._data.startswith(instead, start)):
            return
        if start > self._upto:
            self._out += self._view[self._upto : start]
        self._out += instead
        self._upto = end
        self.kinds |= kinds

    def done(self, *mended: tuple[int, bytes]) -> Stripped:
        """`mended`: (offset, bytes) to write over what stands in front of the first cut, where there is one."""
        if not self.kinds:
            return Stripped(self._data, ())
        self._out += self._view[self._upto :]
        for at, value in mended:
            self._out[at : at + len(value)] = value
        return Stripped(bytes(self._out), tuple(sorted(self.kinds)))
