"""PNG and APNG: a chain of chunks."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from struct import Struct

from pipeline.media.metadata.cut import Cut, MetadataError, Stripped
from pipeline.media.metadata.exif import LOOKED_AT, exif_kinds, turn, upright, xmp_kinds

SIGNATURE = b"\x89PNG\r\n\x1a\n"
START, END = SIGNATURE + b"\0\0\0\x0dIHDR", b"\0\0\0\0IEND\xaeB`\x82"
HEAD = Struct(">I4s")
PICTURE = {
    *(b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"CgBI"),
    *(b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"bKGD", b"pHYs", b"hIST", b"sPLT"),
    *(b"mDCV", b"mDCv", b"cLLI", b"cLLi"),
}
TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
KEYS = {
    b"XML:com.adobe.xmp": "XMP",
    b"Raw profile type xmp": "XMP",
    b"Raw profile type exif": "EXIF",
    b"Raw profile type APP1": "EXIF",
    b"Raw profile type iptc": "IPTC",
    b"Author": "person",
    b"Copyright": "person",
}
TURNING = {b"XML:com.adobe.xmp", b"Raw profile type exif", b"xmp", b"exif"}  # keys that Pillow asks for orientation
NAME = re.compile(rb"\w{4}")
METADATA = re.compile(rb"tEXt|zTXt|iTXt|eXIf|tIME|caBX")


def strip(data: bytes) -> Stripped:
    """Nothing is decompressed but what could say which way is up, and of that no more than Pillow would."""
    if _is_plain(data):
        return Stripped(data, ())
    cut, turned = Cut(data), False
    for name, start, end in chunks(data):
        if name in PICTURE:
            continue
        if name == b"IEND":
            if not END.startswith(data[start : start + len(END) + 1]):
                cut.out(start, len(data), {"appended data"}, END)
            break
        if not NAME.fullmatch(name):  # Pillow, too, reads no further
            if METADATA.search(data, start):
                raise MetadataError("damaged in front of its metadata")
            break
        if end - 4 > len(data):  # the head stays: what decodes as truncated is to decode as truncated
            cut.out(start + 8, len(data), _kinds(data, name, start, len(data)))
            break
        instead = b""
        if not turned and _turns(data, name, start):
            turned, instead = True, _upright(data, start)
        cut.out(start, min(end, len(data)), _kinds(data, name, start, end - 4), instead)
    return cut.done()


def _is_plain(data: bytes) -> bool:
    """Whether it is a header, one chunk of pixels and the end: of small images nearly all are."""
    return (
        data[37:41] == b"IDAT"
        and data.startswith(START)
        and data.endswith(END)
        and int.from_bytes(data[33:37]) == len(data) - 57
    )


def chunks(data: bytes, at: int = len(SIGNATURE)) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end); the last may end behind the data."""
    while at + HEAD.size <= len(data):
        size, name = HEAD.unpack_from(data, at)
        end = at + HEAD.size + size + 4
        yield name, at, end
        at = end


def _kinds(data: bytes, name: bytes, start: int, end: int) -> set[str]:
    if name in TEXTS:
        kind = KEYS.get(key_of(data, start), "text")
        return xmp_kinds(data, start, end) if kind == "XMP" else {"text", kind} if kind == "person" else {kind}
    if name == b"eXIf":
        return exif_kinds(data[start + 8 : min(end, start + LOOKED_AT)])
    return {{b"tIME": "time", b"caBX": "provenance"}.get(name, "private data")}


def key_of(data: bytes, start: int) -> bytes:
    return data[start + 8 : start + 88].split(b"\0", 1)[0]


def _turns(data: bytes, name: bytes, start: int) -> bool:
    return name == b"eXIf" or (name in TEXTS and key_of(data, start) in TURNING)


def _upright(data: bytes, at: int) -> bytes:
    """A chunk that turns the picture as all of them from `at` on did; none where it is upright."""
    from PIL.PngImagePlugin import PngStream

    last = {
        (name, key_of(data, start) if name in TEXTS else b""): (start + 8, end - start - 12)
        for name, start, end in chunks(data, at)
        if end - start < LOOKED_AT and end - 4 <= len(data) and _turns(data, name, start)
    }
    file = io.BytesIO(data)
    stream = PngStream(file)
    for (name, _), (start, size) in sorted(last.items(), key=lambda item: item[1]):
        file.seek(start)
        with suppress(Exception):  # of hostile bytes; Pillow would not open them
            stream.call(name, start, size)
    turned = turn(stream.im_info)
    if turned == 1:
        return b""
    block = b"eXIf" + upright(turned)
    return (len(block) - 4).to_bytes(4) + block + zlib.crc32(block).to_bytes(4)
