"""The box that holds an image's credentials, and whether it is safe to be read.

The library takes a declared length at its word: five bytes of CBOR in a file of 4 kB made it ask for 4 GB. So what it
reads is walked here first: boxes (ISO 19566-5) that fill one another, CBOR (RFC 8949) whose items are there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from pipeline.media.metadata import jpeg, png, webp

MAX_BYTES, MAX_DEPTH, MAX_ITEMS = 16 * 2**20, 32, 200_000
HEAD = struct.Struct(">I4s")
C2PA = b"jumd" + bytes.fromhex("6332706100110010800000aa00389b71")  # the description of a store of credentials
PACKET = 8  # bytes of APP11 in front of its box: JP, number of the box, number of the packet
ARRAY, MAP, TAG, SIMPLE = 4, 5, 6, 7
FOREVER = 31  # CBOR's mark of a size that isn't told


class BoxError(ValueError):
    """Credentials that aren't read; the reason is one word."""


def store_of(data: bytes, mime: str) -> bytes:
    """The box, as one piece; empty where there is none. Raises BoxError where there are several, or half of one."""
    found = {"image/png": _of_png, "image/jpeg": _of_jpeg, "image/webp": _of_webp}[mime](data)
    stores = [store for store in found if store.startswith(C2PA, HEAD.size + 4)]
    if len(stores) > 1:
        raise BoxError("several")
    if found and not stores:
        raise BoxError("boxes")
    return stores[0] if stores else b""


def check_store(store: bytes) -> None:
    """Raises BoxError where a box or an item of CBOR says that it is larger than it is, or they nest too deep."""
    if len(store) > MAX_BYTES:
        raise BoxError("size")
    budget = MAX_ITEMS
    stack = [(0, len(store), 0)]
    while stack:
        at, end, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise BoxError("depth")
        while at < end:
            if end - at < HEAD.size:
                raise BoxError("boxes")
            size, name = HEAD.unpack_from(store, at)
            if size < HEAD.size or at + size > end or (name != b"jumb" and depth == 0):
                raise BoxError("boxes")
            if name == b"jumb":
                stack.append((at + HEAD.size, at + size, depth + 1))
            elif name == b"brob":
                raise BoxError("compressed")
            elif name == b"cbor":
                budget = _check_cbor(store, at + HEAD.size, at + size, budget)
            at += size
            budget -= 1
            if budget < 0:
                raise BoxError("items")


def _check_cbor(data: bytes, at: int, end: int, budget: int) -> int:
    """What is left of the budget of items. One item fills data[at:end]."""
    open_items = [1]  # of each container: how many are still to come
    while open_items:
        if open_items[-1] == 0:
            open_items.pop()
            continue
        open_items[-1] -= 1
        budget -= 1
        if budget < 0 or len(open_items) > MAX_DEPTH or at >= end:
            raise BoxError("cbor")
        kind, size, at = _head(data, at, end)
        if kind in (2, 3):
            at += size
        elif kind in (ARRAY, MAP):
            # Each item takes a byte at least.
            if size * (kind - 3) > end - at:
                raise BoxError("cbor")
            open_items.append(size * (kind - 3))
        elif kind == TAG:
            open_items.append(1)
        if at > end:
            raise BoxError("cbor")
    if at != end:
        raise BoxError("cbor")
    return budget


def _head(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Kind, size or value, and where what follows begins."""
    kind, short = data[at] >> 5, data[at] & 31
    if short < 24:
        return kind, short, at + 1
    width = 1 << (short - 24) if short < 28 else 0
    if not width or at + 1 + width > end:  # sizes that aren't told are left out of C2PA: its CBOR is deterministic
        raise BoxError("cbor")
    return kind, int.from_bytes(data[at + 1 : at + 1 + width]), at + 1 + width


def _of_png(data: bytes) -> list[bytes]:
    return [_cut(data, start + 8, end - 4) for name, start, end in png.chunks(data) if name == b"caBX"]


def _of_webp(data: bytes) -> list[bytes]:
    places = [(start + webp.HEAD.size, end) for name, start, end in webp.chunks(data, 12, len(data)) if name == b"C2PA"]
    return [_trimmed(_cut(data, start, end)) for start, end in places]


def _cut(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        raise BoxError("truncated")
    return data[start:end]


def _trimmed(store: bytes) -> bytes:
    """Without the byte that pads a chunk."""
    size = int.from_bytes(store[:4])
    return store[:size] if size == len(store) - 1 else store


def _of_jpeg(data: bytes) -> list[bytes]:
    """Of boxes in several packets the head is repeated in each (ISO 19566-5, annex D)."""
    boxes: dict[bytes, bytearray] = {}
    for body in _app11(data):
        packet = body[PACKET:]
        box = boxes.setdefault(body[2:4], bytearray())
        box += packet[HEAD.size :] if box else packet
    return [bytes(box) for box in boxes.values() if box.startswith(C2PA, HEAD.size + 4)]


def _app11(data: bytes) -> Iterator[bytes]:
    for marker, _, start, end in jpeg.segments(data):
        if marker == jpeg.SOS:
            return
        if marker == jpeg.APP11 and data.startswith(b"JP", start + 4):
            yield _cut(data, start + 4, end)
