"""IPTC's field goes into a file and comes out of it, and the picture stays as it was."""

from __future__ import annotations

import io
import random
import time
import zlib
from typing import Any

import pytest
from PIL import ExifTags, Image

from pipeline.errors import GenloopError
from pipeline.marks.xmp import PACKET, TRAINED, read_source_type, with_source_type
from pipeline.media.metadata import stripped
from tests.unit.test_marks import MIMES, encoded, pixels_of

EXIF = Image.Exif()
EXIF[ExifTags.Base.Orientation] = 6
SHAPES = [("PNG", "L", {}), ("PNG", "RGBA", {}), ("PNG", "P", {"transparency": 1}), ("JPEG", "L", {}),
          ("JPEG", "RGB", {"progressive": True}), ("JPEG", "CMYK", {}), ("JPEG", "RGB", {"exif": EXIF.tobytes()}),
          ("WEBP", "RGB", {}), ("WEBP", "RGBA", {}), ("WEBP", "RGB", {"lossless": True}),
          ("WEBP", "RGBA", {"lossless": True}), ("WEBP", "RGB", {"icc_profile": b"profile"})]  # fmt: skip


@pytest.mark.parametrize(("format", "mode", "options"), SHAPES)
@pytest.mark.parametrize("side", [1, 31])
def test_pillow_reads_it_and_the_same_pixels(format: str, mode: str, options: dict[str, Any], side: int) -> None:
    data = encoded(format, side, mode, **options)
    told = with_source_type(data)
    assert pixels_of(told) == pixels_of(data)
    image = Image.open(io.BytesIO(told))
    image.load()
    found = image.info.get("xmp") or image.info["XML:com.adobe.xmp"].encode()
    assert found == PACKET
    before = Image.open(io.BytesIO(data))
    for key in ("icc_profile", "exif", "transparency"):
        assert image.info.get(key) == before.info.get(key)
    assert (read_source_type(data), read_source_type(told)) == ("", TRAINED)
    assert with_source_type(told) is told
    assert len(told) - len(data) < 430
    clean = stripped(told)
    assert "XMP" in clean.kinds and read_source_type(clean.data) == ""


def test_as_xml_it_is_what_iptc_says() -> None:
    from xml.etree import ElementTree

    root = ElementTree.fromstring(PACKET.decode())
    (description,) = root.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    assert description.get("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType") == TRAINED


@pytest.mark.parametrize(
    "written",
    [f'<a Iptc4xmpExt:DigitalSourceType = "{TRAINED}"/>', f"<a e:DigitalSourceType='{TRAINED}'/>",
     f"<e:DigitalSourceType>\n {TRAINED}\n</e:DigitalSourceType>", f'<e:DigitalSourceType rdf:resource="{TRAINED}"/>'],
)  # fmt: skip
@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_other_ways_to_write_it_are_read(written: str, format: str) -> None:
    data = encoded(format, 8, "RGB", xmp=written.encode())
    assert read_source_type(data) == TRAINED
    assert with_source_type(data) is data


def packed(text: bytes) -> bytes:
    """A PNG with compressed XMP."""
    data, body = encoded(), b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(text)
    block = b"iTXt" + body
    return data[:33] + len(body).to_bytes(4) + block + zlib.crc32(block).to_bytes(4) + data[33:]


def test_compressed_it_is_read_and_a_bomb_is_not() -> None:
    assert read_source_type(packed(PACKET)) == TRAINED
    start = time.process_time()
    bomb = packed(b" " * 2**28 + PACKET)
    made = time.process_time()
    assert read_source_type(bomb) == "" and time.process_time() - made < max(1.0, made - start)


def test_xmp_of_another_is_not_overwritten() -> None:
    with pytest.raises(GenloopError, match="XMP of its own"):
        with_source_type(encoded("JPEG", 8, "RGB", xmp=b"<x:xmpmeta/>"))


@pytest.mark.parametrize("format", MIMES)
def test_hostile_bytes_are_told_apart(format: str) -> None:
    told, chance = with_source_type(encoded(format, 8, "RGB")), random.Random(0)
    plain = encoded(format, 8, "RGB")
    for _ in range(2000):
        data, bare = bytearray(told), bytearray(plain)
        for some in (data, bare):
            for _ in range(chance.choice((1, 3, 20))):
                some[chance.randrange(min(len(some), 900))] = chance.randrange(256)
            if chance.random() < 0.3:
                del some[chance.randrange(len(some)) :]
        assert len(read_source_type(bytes(data))) <= 500
        try:
            again = with_source_type(bytes(bare))
        except GenloopError:
            continue
        assert read_source_type(again) == TRAINED


def test_long_runs_take_no_long_time() -> None:
    start = time.process_time()
    for run in (
        b":DigitalSourceType" * 400_000,
        b":DigitalSourceType=" + b" " * 2**22,
        b":DigitalSourceType>" * 400_000,
    ):
        assert read_source_type(packed(run)) == ""
    assert time.process_time() - start < 10
