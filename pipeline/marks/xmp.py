"""IPTC's field for how a picture came to be, as XMP: unsigned, but every program that shows metadata shows it.

Photo Metadata Standard, "Digital Source Type"; XMP Specification Part 3, storage in files: PNG, JPEG, WebP. A picture
made by a model has no creator (dc:creator is a person or an organisation), so none is named.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import islice

from pipeline.errors import GenloopError
from pipeline.media.metadata import jpeg, png, webp
from pipeline.media.metadata.exif import LOOKED_AT

TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{TRAINED}"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
).encode()
# Its value as an attribute, as an element, or as the element's rdf:resource; each part is bounded for speed.
VALUE = re.compile(
    rb":DigitalSourceType(?:\s{0,99}=\s{0,99}[\"']([^\"'<>]{1,500})[\"']"
    rb"|\s{0,99}>\s{0,99}([^<>]{1,500})<|\s{1,99}rdf:resource\s{0,99}=\s{0,99}[\"']([^\"'<>]{1,500})[\"'])"
)
MAX_PACKETS = 4  # of one image; they can be compressed a thousandfold
PNG_KEY = b"XML:com.adobe.xmp"
WEBP_HAS_ALPHA, WEBP_MAX_SIDE = 0x10, 2**14


def mime_of(data: bytes) -> str:
    """Of the media that can be marked; empty where it is none."""
    if data.startswith(png.SIGNATURE):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    return "image/webp" if data.startswith(b"RIFF") and data[8:12] == b"WEBP" else ""


def with_source_type(data: bytes) -> bytes:
    """The image with the field in it; what decodes to pixels stays byte for byte. As it was, where the field is there.

    Raises GenloopError where it is no PNG, JPEG or WebP, is damaged, or has XMP that says something else.
    """
    if found := next(_packets(data), b""):
        if _value(found) == TRAINED:
            return data
        raise GenloopError(
            "it has XMP of its own", where="image", remedy="encode without metadata what is to be marked"
        )
    insert = {"image/png": _into_png, "image/jpeg": _into_jpeg, "image/webp": _into_webp}.get(mime_of(data))
    if insert is None:
        raise GenloopError("not a PNG, JPEG or WebP", where="image", remedy="encode it as one of these")
    return insert(data)


def read_source_type(data: bytes) -> str:
    """What the field says, at most 500 characters; empty where there is none. Never raises. Anyone can write it."""
    return next(filter(None, map(_value, islice(_packets(data), MAX_PACKETS))), "")


def _value(packet: bytes) -> str:
    found = VALUE.search(packet)
    return next(filter(None, found.groups())).decode("utf-8", "replace").strip() if found else ""


def _packets(data: bytes) -> Iterator[bytes]:
    """XMP in its order, each at most LOOKED_AT bytes."""
    mime = mime_of(data)
    if mime == "image/png":
        for name, start, end in png.chunks(data):
            if name == b"iTXt" and png.key_of(data, start) == PNG_KEY:
                yield _text(data[start + 8 : min(end - 4, start + LOOKED_AT)])
    elif mime == "image/jpeg":
        for marker, _, start, end in jpeg.segments(data):
            if marker == jpeg.APP1 and data.startswith(jpeg.XMP, start + 4):
                yield data[start + 4 + len(jpeg.XMP) : end]
    elif mime == "image/webp":
        for name, start, end in webp.chunks(data, 12, len(data)):
            if name == b"XMP ":
                yield data[start + webp.HEAD.size : min(end, start + LOOKED_AT)]


def _text(chunk: bytes) -> bytes:
    """Of an iTXt: key, 0, whether compressed, how, language, 0, key in that language, 0, text (PNG, 11.3.3.4)."""
    flag = len(PNG_KEY) + 1
    parts = chunk[flag + 2 :].split(b"\0", 2)
    if len(parts) < 3:
        return b""
    if chunk[flag] == 0:
        return parts[2]
    try:
        return zlib.decompressobj().decompress(parts[2], LOOKED_AT)
    except zlib.error:
        return b""


def _into_png(data: bytes) -> bytes:
    end = len(png.START) + 17  # of the header's chunk
    if not data.startswith(png.START) or len(data) < end:
        raise _damaged("PNG")
    block = b"iTXt" + PNG_KEY + b"\0\0\0\0\0" + PACKET
    return data[:end] + (len(block) - 4).to_bytes(4) + block + zlib.crc32(block).to_bytes(4) + data[end:]


def _into_jpeg(data: bytes) -> bytes:
    """Behind JFIF's and EXIF's segments, which are to be first."""
    at = 2
    for marker, gap, start, end in jpeg.segments(data):
        if gap != start or end > len(data):
            raise _damaged("JPEG")
        if marker != jpeg.APP0 and not (marker == jpeg.APP1 and data.startswith(jpeg.EXIF, start + 4)):
            return data[:at] + jpeg.segment(jpeg.APP1, jpeg.XMP + PACKET) + data[at:]
        at = end
    raise _damaged("JPEG")


def _into_webp(data: bytes) -> bytes:
    """At the end; a file in the simple form gets the header that announces it (RFC 9649, 2.7)."""
    size = int.from_bytes(data[4:8], "little")
    chunks = list(webp.chunks(data, 12, len(data)))
    if size + 8 != len(data) or not chunks or chunks[-1][2] != len(data):
        raise _damaged("WebP")
    name, start, end = chunks[0]
    body = data[start + webp.HEAD.size : end]
    if name == b"VP8X" and len(body) == 10:
        head, rest = bytes([body[0] | webp.HAS_XMP]) + body[1:], data[end:]
    else:
        width, height, flags = _simple_webp(name, body)
        head = bytes([flags | webp.HAS_XMP, 0, 0, 0]) + (width - 1).to_bytes(3, "little")
        head, rest = head + (height - 1).to_bytes(3, "little"), data[12:]
    chunk = webp.HEAD.pack(b"XMP ", len(PACKET)) + PACKET + b"\0" * (len(PACKET) % 2)
    body = b"WEBP" + webp.HEAD.pack(b"VP8X", len(head)) + head + rest + chunk
    return webp.HEAD.pack(b"RIFF", len(body)) + body


def _simple_webp(name: bytes, body: bytes) -> tuple[int, int, int]:
    """Width, height and flags, from the frame (RFC 6386, 9.1) or the lossless stream (RFC 9649, 3.4)."""
    if name == b"VP8 " and body[3:6] == b"\x9d\x01\x2a" and len(body) >= 10:
        width, height = (int.from_bytes(body[at : at + 2], "little") % WEBP_MAX_SIDE for at in (6, 8))
        if width and height:
            return width, height, 0
    if name == b"VP8L" and body[:1] == b"\x2f" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        alpha = WEBP_HAS_ALPHA if bits >> 28 & 1 else 0
        return bits % WEBP_MAX_SIDE + 1, (bits >> 14) % WEBP_MAX_SIDE + 1, alpha
    raise _damaged("WebP")


def _damaged(format: str) -> GenloopError:
    return GenloopError(f"a damaged {format}", where="image", remedy="encode it anew")
