"""WebP: chunks in a RIFF file, and chunks in the chunk of a frame."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from pipeline.media.metadata.cut import Cut, MetadataError, Stripped
from pipeline.media.metadata.exif import LOOKED_AT, exif_kinds, turn, upright, xmp_kinds

HEAD = Struct("<4sI")
PICTURE = {b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ICCP", b"ANIM", b"ANMF"}
OF_FRAME = {b"VP8 ", b"VP8L", b"ALPH"}
FRAME_HEAD = HEAD.size + 16
HAS_EXIF, HAS_XMP = 8, 4  # of the flags, at:
FLAGS_AT = 20


def strip(data: bytes) -> Stripped:
    """The file's size and its flags are mended."""
    if data[8:12] != b"WEBP":
        return Stripped(data, ())
    size = int.from_bytes(data[4:8], "little")
    stop = min(HEAD.size + size + size % 2, len(data))
    flags = data[FLAGS_AT] if data[12:16] == b"VP8X" and len(data) > FLAGS_AT else 0
    cut, upright_chunk = Cut(data), None
    for name, start, end in chunks(data, 12, stop):
        if end > stop and stop < len(data):
            raise MetadataError("a chunk is larger than its file")
        if end > stop:
            if name not in PICTURE:  # the head stays: what decodes as truncated is to decode as truncated
                cut.out(start + HEAD.size, stop, _kinds(data, name, start, stop))
            break
        if name == b"ANMF":
            _strip_frame(cut, data, start, end)
        if name in PICTURE:
            continue
        instead = b""
        if upright_chunk is None and _turns(name, flags):
            instead = upright_chunk = _upright(data, start, stop, flags)
        cut.out(start, end, _kinds(data, name, start, end), instead)
    mended = [(4, (size - cut.removed).to_bytes(4, "little"))]
    if flags:
        mended.append((FLAGS_AT, bytes([flags & ~(HAS_EXIF | HAS_XMP) | (HAS_EXIF if upright_chunk else 0)])))
    cut.out(stop, len(data), {"appended data"})
    return cut.done(*mended)


def _strip_frame(cut: Cut, data: bytes, start: int, end: int) -> None:
    removed = sum(to - at for at, to in _foreign(data, start, end))
    if removed:
        size = int.from_bytes(data[start + 4 : start + 8], "little") - removed
        cut.out(start + 4, start + 8, {"private data"}, size.to_bytes(4, "little"))
    for at, to in _foreign(data, start, end):
        cut.out(at, to, {"private data"})


def _foreign(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Chunks in a frame that are none of its picture."""
    for name, at, to in chunks(data, start + FRAME_HEAD, end):
        if name not in OF_FRAME and to <= end:
            yield at, to


def chunks(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end with what pads it); the last may end behind `stop`."""
    while at + HEAD.size <= stop:
        name, size = HEAD.unpack_from(data, at)
        end = at + HEAD.size + size + size % 2
        yield name, at, end
        at = end


def _kinds(data: bytes, name: bytes, start: int, end: int) -> set[str]:
    if name == b"EXIF":
        return exif_kinds(data[start + HEAD.size : min(end, start + LOOKED_AT)])
    if name == b"XMP ":
        return xmp_kinds(data, start, end)
    return {"provenance" if name == b"C2PA" else "private data"}


def _turns(name: bytes, flags: int) -> bool:
    """Without its flag a decoder doesn't see the chunk."""
    return (name == b"EXIF" and bool(flags & HAS_EXIF)) or (name == b"XMP " and bool(flags & HAS_XMP))


def _upright(data: bytes, at: int, stop: int, flags: int) -> bytes:
    """A chunk that turns the picture as those from `at` on did; none where it is upright."""
    info: dict[str, object] = {}
    for name, start, end in chunks(data, at, stop):
        if _turns(name, flags) and end <= stop:
            key = name.decode().strip().lower()
            info.setdefault(key, data[start + HEAD.size : min(end, start + LOOKED_AT)])
    turned = turn(info)
    return HEAD.pack(b"EXIF", len(upright(turned))) + upright(turned) if turned > 1 else b""
