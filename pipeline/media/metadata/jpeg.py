"""JPEG: a chain of segments; a scan's data stands between two of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.media.metadata.cut import Cut, Stripped
from pipeline.media.metadata.exif import exif_kinds, iptc_kinds, turn, upright, xmp_kinds

SOS, EOI, COM = 0xDA, 0xD9, 0xFE
APP0, APP1, APP2, APP11, APP13, APP14 = 0xE0, 0xE1, 0xE2, 0xEB, 0xED, 0xEE
PICTURE = {*range(0xC0, 0xD0), SOS, 0xDB, 0xDC, 0xDD} - {0xC8}  # frames, tables, scans, number of lines, restarts
METADATA = {*range(APP0, APP0 + 16), COM}
EXIF, XMP, MORE_XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"
# Not those that stand in a scan's data: an escaped FF, restarts; nor the one before of several FF.
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")


def strip(data: bytes) -> Stripped:
    """What lies between segments, other than a scan's data, goes with them: decoders skip it."""
    cut, before, scans, turned = Cut(data), 0, False, False
    for marker, gap, start, end in segments(data):
        if before != SOS and data[gap:start].strip(b"\xff"):
            cut.out(gap, start, {"private data"})
        before, scans = marker, scans or marker == SOS
        if marker == EOI and scans:
            cut.out(end, len(data), {"appended data"})
        if marker not in METADATA:
            continue
        body = data[start + 4 : end]
        if (kept := _kept(marker, body)) == body:
            continue
        if end > len(data):  # the marker stays: what decodes as truncated is to decode as truncated
            cut.out(start + 4, len(data), _kinds(marker, body))
            break
        instead = segment(marker, kept) if kept else b""
        if marker == APP1 and not scans and not turned and body.startswith((EXIF, XMP)):
            turned, instead = True, _upright(data, start)
        cut.out(start, end, _kinds(marker, body), instead)
    return cut.done()


def segments(data: bytes, at: int = 2) -> Iterator[tuple[int, int, int, int]]:
    """(marker, end of the segment before, start, end), up to the end of the image or to what no decoder reads past."""
    while found := MARKER.search(data, at):
        start = found.start()
        marker = data[start + 1]
        if marker == EOI:
            yield marker, at, start, start + 2
        if marker not in PICTURE and marker not in METADATA:
            return
        end = start + 2 + max(2, int.from_bytes(data[start + 2 : start + 4]))
        yield marker, at, start, end
        at = end


def _kept(marker: int, body: bytes) -> bytes:
    """What a decoder needs of it: density, colour profile, colour transform."""
    if marker == APP0 and body.startswith(b"JFIF\0") and len(body) >= 14:
        return body[:12] + b"\0\0"
    if marker == APP2 and body.startswith(b"ICC_PROFILE\0"):
        return body
    return body[:12] if marker == APP14 and body.startswith(b"Adobe") and len(body) >= 12 else b""


def _kinds(marker: int, body: bytes) -> set[str]:
    if marker == COM:
        return {"comment"}
    if marker == APP0 and body.startswith((b"JFIF\0", b"JFXX\0")):
        return {"thumbnail"}
    if marker == APP1 and body.startswith(EXIF):
        return exif_kinds(body)
    if marker == APP1 and body.startswith((XMP, MORE_XMP)):
        return xmp_kinds(body, 0, len(body))
    if marker == APP2 and body.startswith(b"MPF\0"):
        return {"appended data"}
    if marker == APP11 and body.startswith(b"JP"):
        return {"provenance"}
    return iptc_kinds(body) if marker == APP13 else {"private data"}


def _upright(data: bytes, at: int) -> bytes:
    """A segment that turns the picture as all of them from `at` on did; none where it is upright."""
    exif, xmp = bytearray(), b""
    for marker, _, start, end in segments(data, at):
        if marker == SOS:
            break
        body = data[start + 4 : end]
        if marker == APP1 and body.startswith(EXIF):
            exif += body[len(EXIF) :]
        elif marker == APP1 and body.startswith(XMP):
            xmp = body[len(XMP) :]
    turned = turn({"exif": bytes(exif), "xmp": xmp} if exif else {"xmp": xmp})
    return segment(APP1, EXIF + upright(turned)) if turned > 1 else b""


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2) + body
