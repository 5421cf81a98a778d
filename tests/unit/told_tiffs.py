"""TIFF files that tell of people, places and devices, in every field that we know of."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from PIL import Image, TiffImagePlugin

from tests.unit.told_images import CAMERA, FACED, FACES, ICC, IPTC, VIDEO, encoded, frames, noise


def tags(turn: int = 6) -> TiffImagePlugin.ImageFileDirectory_v2:
    found = TiffImagePlugin.ImageFileDirectory_v2()
    found[274] = turn
    for tag in (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, 50735, 42112):
        found.tagtype[tag] = 2
        found[tag] = f"zq~{tag}"
    for tag, value in ((700, FACES), (33723, IPTC), (34377, IPTC), (50740, b"zq~"), (60000, b"zq~0")):
        found.tagtype[tag] = 7
        found[tag] = value
    found.tagtype[33922] = 12
    found[33922] = (0.0, 8.0)
    found[34665] = {36867: "zq~date", 37500: b"zq~maker", 42033: "zq~serial"}
    found[34853] = {1: "N", 27: b"zq~method"}
    return found


TAGGED = CAMERA | FACED | {"IPTC", "private data"}


def directory(at: int, tags: list[tuple[int, int, bytes]], entries: Sequence[bytes] = ()) -> bytes:
    """One of a little-endian TIFF at an offset: tags as (tag, type, value), and entries from elsewhere."""
    entries, values = list(entries), b""
    behind = at + 6 + 12 * (len(tags) + len(entries))
    for tag, type, value in tags:
        unit = 2 if type == 3 else 4 if type == 4 else 1
        where = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<L", behind + len(values))
        entries.append(struct.pack("<HHL", tag, type, len(value) // unit) + where)
        values += value if len(value) > 4 else b""
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    return struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4) + values


def with_tags(data: bytes, turn: int = 6) -> bytes:
    """As a program does that writes a new directory behind a little-endian TIFF of one page; the old one is left."""
    (at,) = struct.unpack_from("<L", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    entries = [data[at + 2 + 12 * i : at + 14 + 12 * i] for i in range(count)]
    inner = directory(len(data), [(36867, 2, b"zq~date"), (37500, 7, b"zq~maker"), (42033, 2, b"zq~serial")])
    gps = directory(len(data) + len(inner), [(1, 2, b"N"), (27, 7, b"zq~method")])
    names = [(tag, 2, b"zq~%d" % tag) for tag in (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, 42112)]
    blobs = [
        (700, 1, FACES),
        (33723, 7, IPTC),
        (34377, 7, IPTC),
        (50735, 2, b"zq~7"),
        (50740, 1, b"zq~"),
        (60000, 7, b"zq~0"),
    ]
    pointers = [(34665, 4, struct.pack("<L", len(data))), (34853, 4, struct.pack("<L", len(data) + len(inner)))]
    at = len(data) + len(inner) + len(gps)
    new = directory(at, [(274, 3, struct.pack("<H", turn)), *names, *blobs, *pointers], entries)
    return data[:4] + struct.pack("<L", at) + data[8:] + inner + gps + new


def told_tiffs() -> dict[str, tuple[bytes, set[str]]]:
    """As `told_images`."""
    codecs = (
        *(("RGB", None), ("RGB", "tiff_lzw"), ("RGB", "jpeg"), ("L", "packbits"), ("P", "tiff_adobe_deflate")),
        *(("RGBA", "zstd"), ("CMYK", None), ("F", None), ("1", "group4"), ("LAB", None), ("I;16", "lzma")),
    )
    found = {f"TIFF {mode} {codec}": (with_tags(_tiff(mode, codec)), TAGGED) for mode, codec in codecs}
    pages = encoded(frames()[0], "TIFF", save_all=True, append_images=frames()[1:], tiffinfo=tags(8))
    by_xmp = TiffImagePlugin.ImageFileDirectory_v2()
    by_xmp[700] = b'zq~ tiff:Orientation="8"'
    return found | {
        "TIFF pages": (pages, TAGGED),
        "TIFF big-endian": (encoded(_big_endian(), "TIFF", tiffinfo=tags(2)), TAGGED),
        "TIFF big": (encoded(noise(), "TIFF", big_tiff=True, tiffinfo=tags()), TAGGED),
        "TIFF by XMP": (encoded(noise(), "TIFF", tiffinfo=by_xmp), {"XMP"}),
        "TIFF behind": (encoded(noise("L"), "TIFF") + VIDEO, {"appended data"}),
    }


def _tiff(mode: str, codec: str | None) -> bytes:
    return encoded(noise(mode), "TIFF", compression=codec, icc_profile=ICC)


def _big_endian() -> Image.Image:
    return Image.fromarray(np.asarray(noise("I;16")).astype(">u2"))
