"""How much the pages of a Parquet column unpack to, by their own heads: what the footer says of it may be a lie.

A head is a struct of Thrift's compact protocol (Apache Thrift, thrift-compact-protocol.md) as Apache Parquet's
parquet.thrift has it: PageHeader, whose field 2 is the size unpacked, and field 3 as it lies in the file.
"""

from __future__ import annotations

from typing import IO

UNPACKED, PACKED = 2, 3
STOP, BYTE, DOUBLE, BINARY, LIST, SET, STRUCT = 0, 3, 7, 8, 9, 10, 12
FLAGS, NUMBERS = (1, 2), (4, 5, 6)
HEAD_BYTES = (2**10, 2**17)  # the second where the first was not enough: statistics may be in a head
DEPTH, LIST_SIGN = 8, 15


def unpacked(file: IO[bytes], begin: int, length: int) -> int:
    """Bytes that the pages between these places unpack to. Raises ValueError where they are no pages."""
    total, end = 0, begin + length
    while begin < end:
        head, size = _head(file, begin)
        if not (0 <= head.get(PACKED, -1) <= end and head.get(UNPACKED, -1) >= 0):
            raise ValueError("a page without a size")
        total += head[UNPACKED]
        begin += size + head[PACKED]
    return total


def _head(file: IO[bytes], begin: int) -> tuple[dict[int, int], int]:
    """Whole numbers of a head, by field, and its length."""
    for most in HEAD_BYTES:
        file.seek(begin)
        struct = _Struct(file.read(most))
        try:
            return struct.fields(DEPTH), struct.at
        except IndexError:
            continue
    raise ValueError("the head of a page is cut off, or too long")


class _Struct:
    """Raises IndexError where the data end before the struct does."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def fields(self, depth: int) -> dict[int, int]:
        """Its whole numbers; all else is passed over."""
        if not depth:
            raise ValueError("the head of a page is nested too deep")
        found, field = dict[int, int](), 0
        while (sign := self._byte()) & 15 != STOP:
            field = field + (sign >> 4) if sign >> 4 else self._number()
            if sign & 15 in NUMBERS:
                found[field] = self._number()
            elif sign & 15 not in FLAGS:
                self._pass(sign & 15, depth)
        return found

    def _pass(self, kind: int, depth: int) -> None:
        if kind in FLAGS or kind in (BYTE, DOUBLE):
            self._skip(8 if kind == DOUBLE else 1)
        elif kind in NUMBERS:
            self._varint()
        elif kind == BINARY:
            self._skip(self._varint())
        elif kind in (LIST, SET):
            sign = self._byte()
            for _ in range(self._varint() if sign >> 4 == LIST_SIGN else sign >> 4):
                self._pass(sign & 15, depth - 1)
        elif kind == STRUCT:
            self.fields(depth - 1)
        else:
            raise ValueError("the head of a page is none")

    def _byte(self) -> int:
        self.at += 1
        return self._data[self.at - 1]

    def _skip(self, count: int) -> None:
        self.at += count
        if self.at > len(self._data):
            raise IndexError

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def _number(self) -> int:
        """Zigzag: 0, -1, 1, -2, … are 0, 1, 2, 3."""
        value = self._varint()
        return value >> 1 ^ -(value & 1)
