"""BMP: there is no place for metadata in it but behind the pixels."""

from __future__ import annotations

import struct

from pipeline.media.metadata.cut import Cut, Stripped

CORE, INFO, WITH_PROFILE = 12, {40, 52, 56, 64, 108, 124}, 124
PLAIN, BITFIELDS = 0, 3


def strip(data: bytes) -> Stripped:
    """What follows the pixels and the colour profile goes; of run-length encoded ones the end is not known."""
    end = _end(data)
    if end is None or not data[end:].strip(b"\0"):
        return Stripped(data, ())
    cut = Cut(data)
    cut.out(end, len(data), {"appended data"})
    return cut.done((2, end.to_bytes(4, "little")))


def _end(data: bytes) -> int | None:
    if len(data) < 14 + CORE:
        return None
    first, header = struct.unpack_from("<II", data, 10)
    if header == CORE:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression, colours, colour_bytes = PLAIN, 0, 3
    elif header in INFO and len(data) >= 14 + header:
        width, height, _, bits, compression = struct.unpack_from("<IiHHI", data, 18)
        (colours,), colour_bytes = struct.unpack_from("<I", data, 46), 4
    else:
        return None
    if compression not in (PLAIN, BITFIELDS):
        return None
    # Pillow starts behind the palette, even where the file says that pixels start with it.
    palette = (colours or 1 << bits) * colour_bytes if bits <= 8 else 0
    masks = 12 if header == 40 and compression == BITFIELDS else 0
    end: int = max(first, 14 + header + masks + palette) + (width * bits + 31) // 32 * 4 * abs(height)
    if header == WITH_PROFILE:
        profile, size = struct.unpack_from("<II", data, 14 + 112)
        end = max(end, 14 + profile + size)
    return end
