"""GIF: blocks, each a chain of sub-blocks of at most 255 bytes."""

from __future__ import annotations

import re

from pipeline.media.metadata.cut import Cut, Stripped
from pipeline.media.metadata.exif import xmp_kinds

BLOCK = re.compile(rb"[!,;]")  # extension, picture, end; decoders skip what is none
CONTROL, APPLICATION = 0xF9, 0xFF
NAMES = {0xFE: "comment", 0x01: "text"}
LOOP = re.compile(rb"!\xff\x0b(?:NETSCAPE2\.0|ANIMEXTS1\.0)\x03\x01..(?:\x05\x02....)?\0", re.DOTALL)


def strip(data: bytes) -> Stripped:
    """Of extensions only those stay that time the frames."""
    cut = Cut(data)
    at = 13 + _palette(data, 10)
    while at < len(data):
        found = BLOCK.search(data, at)
        start = found.start() if found else len(data)
        cut.out(at, start, {"private data" if found else "appended data"})
        block, label = data[start : start + 1], data[start + 1 : start + 2]
        if block == b";":
            cut.out(start + 1, len(data), {"appended data"})
            break
        body = start + 2 if block == b"!" else start + 11 + _palette(data, start + 9)
        end = _end(data, body)
        if block == b"!" and label and label[0] != CONTROL and not LOOP.fullmatch(data, start, end):
            # Of a truncated one the head stays, so that it is truncated still.
            cut.out(start if end <= len(data) else body, min(end, len(data)), _kinds(data, label[0], body, end))
        at = end
    return cut.done()


def _palette(data: bytes, flags_at: int) -> int:
    """Bytes of the colour table that follows the descriptor whose flags these are."""
    flags = data[flags_at] if flags_at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _end(data: bytes, at: int) -> int:
    """Where a chain of sub-blocks ends; behind the end of the data if it is truncated."""
    while at < len(data):
        if not (size := data[at]):
            return at + 1
        at += size + 1
    return len(data) + 1


def _kinds(data: bytes, label: int, body: int, end: int) -> set[str]:
    if label == APPLICATION:
        name = data[body + 1 : body + 9]
        told = {"provenance"} if name == b"C2PA_GIF" else {"private data"}
        return xmp_kinds(data, body, end) if name == b"XMP Data" else told
    return {NAMES.get(label, "private data")}
