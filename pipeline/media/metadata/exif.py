"""What EXIF, XMP and IPTC tell of, and the one thing of it that pictures need: which way is up."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

from pipeline.media.metadata.cut import MetadataError
from pipeline.media.metadata.directories import directories

ORIENTATION = 274
LOOKED_AT = 8 * 2**20  # bytes of a block at most; it begins with what matters
TELL = {
    315: "person",  # artist
    513: "thumbnail",
    700: "XMP",
    33432: "person",  # copyright
    33550: "GPS",  # GeoTIFF's
    33723: "IPTC",
    33922: "GPS",
    34264: "GPS",
    34377: "IPTC",
    34665: "EXIF",
    34735: "GPS",
    34736: "GPS",
    34737: "GPS",
    34853: "GPS",
    37500: "maker note",
    40093: "person",  # author
    42032: "person",  # owner of the camera
    42033: "serial number",  # of the body
    42037: "serial number",  # of the lens
    50735: "serial number",  # of the camera
    50740: "maker note",
    65000: "person",  # owner
    65001: "serial number",
}
XMP_TELLS = {
    "person": (
        *(b"mwg-rs:", b"MP:RegionInfo", b"MPReg:", b"PersonInImage", b"OwnerName", b"xmpRights:Owner"),
        *(b"dc:creator", b"dc:rights"),
    ),
    "GPS": (b"exif:GPS",),
    "serial number": (b"SerialNumber",),
}
# By-line, its title, credit, copyright notice, contact, writer.
IPTC_PERSON = re.compile(rb"\x1c\x02[\x50\x55\x6e\x74\x76\x7a]")


def upright(turn: int) -> bytes:
    """The least EXIF block that says how the picture is to be turned."""
    return b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0%c\0\0\0\0\0\0" % turn


def turn(info: Mapping[Any, object]) -> int:
    """Orientation, 1 to 8, as Pillow takes it from an image's `info`: EXIF before XMP."""
    from PIL import Image

    image = Image.Image()
    image.info.update(info)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = image.getexif().get(ORIENTATION, 1)
            return int(found) if found in range(2, 9) else 1
    except Exception:  # then it can't be turned by it either
        return 1


def exif_kinds(block: bytes) -> set[str]:
    """Of an EXIF block, with or without "Exif" in front."""
    kinds = {"EXIF"}
    try:
        for directory in directories(re.sub(rb"^(?:Exif\0\0){1,2}", b"", block[:LOOKED_AT])):
            kinds |= {TELL[entry.tag] for entry in directory.entries if entry.tag in TELL}
    except MetadataError:
        pass  # it goes anyway; what it told of is as far as it could be read
    return kinds


def xmp_kinds(data: bytes, start: int, end: int) -> set[str]:
    """Of the XMP that data[start:end] is."""
    end = min(end, start + LOOKED_AT)
    told = {kind for kind, names in XMP_TELLS.items() if any(data.find(name, start, end) >= 0 for name in names)}
    return {"XMP"} | told


def iptc_kinds(block: bytes) -> set[str]:
    """Of Photoshop's resources, which IPTC stands in."""
    thumbnail = b"8BIM\x04\x0c" in block
    return {"IPTC"} | ({"person"} if IPTC_PERSON.search(block) else set()) | ({"thumbnail"} if thumbnail else set())
