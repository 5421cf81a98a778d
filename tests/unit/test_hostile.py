"""What hostile, broken and odd sources bring, through collect and validate: kept, or quarantined with its reason."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import struct
import tarfile
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline.collect.snapshot import collect
from pipeline.errors import SourceError
from pipeline.manifest import read_manifest
from pipeline.media.image import encode_png
from pipeline.settings import Collect, Validate
from pipeline.validate.step import validate
from tests.peak import PeakMemory
from tests.unit.test_collect import folder, png, table, tar, zipped

MIB = 2**20
JUDGED = {
    "min_items": 1,
    "max_rejected_share": 1.0,
    "min_class_items": 1,
    "max_class_imbalance": 1e9,
    "min_contrast": 0,
}


def taken(root: Path, source: Path, **settings: int) -> dict[str, str | None]:
    """Of each path its reason in the quarantine, or None where it was accepted."""
    places = [root / name for name in ("snapshot", "pixels", "ledgers")]
    collect(Collect(source=str(source), **settings), root, *places)
    outputs = [root / name for name in ("accepted.parquet", "quarantine", "docs", "validation.json")]
    validate(Validate.model_validate(JUDGED), root / "snapshot", *outputs)
    with (root / "quarantine/reasons.csv").open(newline="") as file:
        rejected = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    return {path: rejected.get(path) for path in read_manifest(root / "snapshot")["path"].to_pylist()}


def labels(root: Path) -> list[str | None]:
    return sorted(read_manifest(root / "snapshot")["label"].to_pylist(), key=str)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def with_chunk(image: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    made = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return image[:33] + made + image[33:]


def noise(mode: str, seed: int = 0, side: int = 16) -> Image.Image:
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 2**16, (side, side), dtype=np.uint16))
    return Image.fromarray(rng.integers(0, 256, (side, side, 4), dtype=np.uint8), "RGBA").convert(mode)


def rotated() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def good_images() -> dict[str, tuple[bytes, str]]:
    """With what stands in the manifest of each: format, mode, width."""
    return {
        "animated.gif": (encoded(noise("P", 1), "GIF", save_all=True, append_images=[noise("P", 2)] * 50), "GIF P 16"),
        "animated.webp": (
            encoded(noise("RGB", 3), "WEBP", save_all=True, append_images=[noise("RGB", 4)] * 50),
            "WEBP RGB 16",
        ),
        "cmyk.jpg": (encoded(noise("CMYK", 5), "JPEG"), "JPEG CMYK 16"),
        "deep.png": (encoded(noise("I;16", 6)), "PNG I;16 16"),
        "deep.tif": (encoded(noise("I;16", 7), "TIFF"), "TIFF I;16 16"),
        "float.tif": (encoded(noise("F", 8), "TIFF"), "TIFF F 16"),
        "large-text.png": (with_chunk(png(9), b"tEXt", b"Comment\0" + b"x" * 40_000_000), "PNG L 8"),
        "no-extension": (png(15), "PNG L 8"),
        "palette.png": (encoded(noise("P", 10)), "PNG P 16"),
        "rotated.jpg": (encoded(noise("RGB", 11), "JPEG", exif=rotated()), "JPEG RGB 16"),
        "text-bomb.png": (with_chunk(png(23), b"zTXt", b"C\0\0" + zlib.compress(bytes(200 * MIB))), "PNG L 8"),
        "transparent-palette.png": (encoded(noise("P", 13), transparency=3), "PNG P 16"),
        "transparent.png": (encoded(noise("RGBA", 12)), "PNG RGBA 16"),
        "wrong-extension.jpg": (png(14), "PNG L 8"),
    }


def bad_images() -> dict[str, tuple[bytes, str]]:
    """With what the reason of each begins with."""
    packed = zlib.compress(bytes(200 * MIB))
    html = b"<!doctype html><html><body>404</body></html>"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect/></svg>'
    return {
        "1x1.png": (encode_png(np.full((1, 1, 1), 9, np.uint8)), "too small: 1x1 pixels, min_side is 4"),
        "bomb.png": (encoded(Image.new("1", (30_000, 30_000))), "decompression bomb"),
        "cut.jpg": (encoded(noise("RGB", 20, 64), "JPEG")[:-800], "truncated or damaged image"),
        "cut.png": (png(21)[:60], "truncated or damaged image"),
        "empty.png": (b"", "empty file"),
        "icc-bomb.png": (with_chunk(png(22), b"iCCP", b"icc\0\0" + packed), "decompression bomb"),
        "page.jpg": (html, "not an image"),
        "picture.svg": (svg, "not an image"),
        "too-large-text.png": (with_chunk(png(24), b"tEXt", b"C\0" + bytes(65 * MIB)), "too large: max_item_bytes is"),
    }


def test_images_are_kept_as_they_are_or_quarantined_in_little_memory(tmp_path: Path) -> None:
    good, bad = good_images(), bad_images()
    source = folder(tmp_path / "s", {name: data for name, (data, _) in (good | bad).items()})
    with PeakMemory(os.getpid()) as peak:
        found = taken(tmp_path, source)
    assert {path: found[path] for path in good} == dict.fromkeys(good)
    assert {path: (found[path] or "")[: len(why)] for path, (_, why) in bad.items()} == {
        path: why for path, (_, why) in bad.items()
    }
    rows = {row["path"]: row for row in read_manifest(tmp_path / "snapshot").to_pylist()}
    told = {path: f"{rows[path]['format']} {rows[path]['mode']} {rows[path]['width']}" for path in good}
    assert told == {path: facts for path, (_, facts) in good.items()}
    assert rows["large-text.png"]["size_bytes"] < 1000 > rows["text-bomb.png"]["size_bytes"]  # texts are taken out
    assert 0 < peak.beyond < 700 * MIB


def test_a_zip_bomb_is_quarantined_in_little_memory(tmp_path: Path) -> None:
    """Bytes of nothing below the limit and beyond it; what only is of one colour is no bomb."""
    flat = encoded(Image.new("RGB", (2000, 1000)), "BMP")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/flat.bmp", flat)
        archive.writestr("b/ok.png", png(1))
        for number in range(10):
            archive.writestr(f"a/{number}.png", bytes(60 * MIB))
        archive.writestr("a/huge.png", bytes(300 * MIB))
    with PeakMemory(os.getpid()) as peak:
        found = taken(tmp_path, tmp_path / "a.zip")
    assert found.pop("a/flat.bmp") is None and found.pop("b/ok.png") is None
    assert (found.pop("a/huge.png") or "").startswith("too large")
    assert len(found) == 10
    assert {(why or "").partition(":")[0] for why in found.values()} == {"decompression bomb"}
    assert peak.beyond < 400 * MIB


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_hundred_thousand_entries_of_nothing_are_soon_done(tmp_path: Path, kind: str) -> None:
    files = {"a/ok.png": png(1), "b/ok.png": png(2)} | {f"a/{number}.png": b"" for number in range(100_000)}
    source = tmp_path / f"a.{kind}"
    if kind == "zip":
        zipped(source, files)
    else:
        source.write_bytes(gzip.compress(tar(files), 1))
    begun = time.monotonic()
    with PeakMemory(os.getpid()) as peak:
        found = taken(tmp_path, source)
    assert found.pop("a/ok.png") is None and found.pop("b/ok.png") is None
    assert len(found) == 100_000 and set(found.values()) == {"empty file"}
    assert time.monotonic() - begun < 60
    assert peak.beyond < 600 * MIB


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_of_one_name_are_items_of_their_own(tmp_path: Path, kind: str) -> None:
    members = [("a/same.png", png(1)), ("a/same.png", png(2)), ("b/other.png", png(3)), ("a/same.png", b"no image")]
    source = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(source, "w") as archive:
            for name, data in members:
                archive.writestr(name, data)
    else:
        with tarfile.open(source, "w") as tarred:
            for name, data in members:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tarred.addfile(member, io.BytesIO(data))
    taken(tmp_path, source)
    manifest = read_manifest(tmp_path / "snapshot")
    rows = list(zip(manifest["path"].to_pylist(), manifest["problem"].to_pylist(), strict=True))
    assert sorted(rows, key=str) == sorted(
        [("a/same.png", None), ("a/same.png", None), ("a/same.png", "not an image"), ("b/other.png", None)], key=str
    )


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_of_a_zip_does_not_take_the_others_along(tmp_path: Path, packing: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", packing) as archive:
        for number in range(4):
            archive.writestr(f"{'ab'[number % 2]}/{number}.bmp", encoded(noise("RGB", number, 64), "BMP"))
    raw = bytearray((tmp_path / "a.zip").read_bytes())
    raw[100:2100] = b"\xff" * 2000
    (tmp_path / "a.zip").write_bytes(raw)
    found = taken(tmp_path, tmp_path / "a.zip")
    assert (found.pop("a/0.bmp") or "").startswith("damaged in archive")
    assert set(found.values()) == {None} and len(found) == 3


def test_archives_inside_archives_are_no_images(tmp_path: Path) -> None:
    inner = tar({"a/1.png": png(1)})
    found = taken(tmp_path, zipped(tmp_path / "a.zip", {"a/inner.tar": inner, "a/1.png": png(1), "b/2.png": png(2)}))
    assert found == {"a/inner.tar": "not an image", "a/1.png": None, "b/2.png": None}


@pytest.mark.parametrize("many", [1, 3000])
def test_a_tar_whose_headers_are_large_or_endless_is_refused_in_little_memory(tmp_path: Path, many: int) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1500 * MIB if many == 1 else 512
    with gzip.open(tmp_path / "a.tar.gz", "wb", 1) as file:
        for _ in range(many):
            file.write(header.tobuf(tarfile.USTAR_FORMAT))
            file.write(b"11 path=xy\n".ljust(512, b"\0"))
        for _ in range(1500 if many == 1 else 0):
            file.write(bytes(MIB))
    with PeakMemory(os.getpid()) as peak, pytest.raises(SourceError, match="damaged") as caught:
        taken(tmp_path, tmp_path / "a.tar.gz")
    assert "\n" not in str(caught.value)
    assert peak.beyond < 300 * MIB


def test_a_tar_that_says_ever_more_of_all_its_members_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(300):
            text = f" comment.{number}=x\n"
            header = tarfile.TarInfo("pax")
            header.type, header.size = tarfile.XGLTYPE, len(text) + 2
            archive.addfile(header, io.BytesIO(f"{header.size}{text}".encode()))
            if number % 50 == 0:
                member = tarfile.TarInfo(f"a/{number}.png")
                member.size = len(png(number))
                archive.addfile(member, io.BytesIO(png(number)))
    with pytest.raises(SourceError, match=r"damaged.*too many headers"):
        taken(tmp_path, tmp_path / "a.tar")


NFC, NFD = "caf\u00e9", "cafe\u0301"


def test_labels_of_any_writing(tmp_path: Path) -> None:
    names = [
        "עברית",
        "العربية",
        "日本語",
        "👩🏽‍🚀",
        "a b",
        "ünïcödé",
        "a..",
        "-",
        "a\nb",
        "<b>",
        "x" * 200,
        "\u202eevil",
        NFC,
    ]
    source = folder(tmp_path / "s", {f"{name}/{i}.png": png(i) for i, name in enumerate(names)})
    assert set(taken(tmp_path, source).values()) == {None}
    assert labels(tmp_path) == sorted(names)
    assert json.loads((tmp_path / "validation.json").read_text())["classes"] == dict.fromkeys(names, 1)


@pytest.mark.parametrize("kind", ["folder", "tar", "zip", "parquet"])
def test_one_label_in_two_ways_of_writing_it_is_one_class(tmp_path: Path, kind: str) -> None:
    files = {f"{NFC}/1.png": png(1), f"{NFD}/2.png": png(2), "b/3.png": png(3)}
    source = tmp_path / f"s.{kind}"
    if kind == "folder":
        folder(source, files)
    elif kind == "tar":
        source.write_bytes(tar(files))
    elif kind == "zip":
        zipped(source, files)
    else:
        images = [{"bytes": data, "path": path} for path, data in files.items()]
        table(source, images, label=pa.array([path.partition("/")[0] for path in files]))
    assert set(taken(tmp_path, source).values()) == {None}
    assert labels(tmp_path) == sorted([NFC, NFC, "b"])


def test_labels_with_slashes_and_nul_and_without_anything(tmp_path: Path) -> None:
    names = ["a/b", "../../etc/passwd", "nul\0nul", "", None, "\\\\server\\share"]
    images = [{"bytes": png(i), "path": f"{i}.png"} for i in range(len(names))]
    found = taken(tmp_path, table(tmp_path / "s.parquet", images, label=pa.array(names)))
    assert found == {f"{i}.png": None if names[i] else "no label" for i in range(len(names))}
    assert labels(tmp_path) == sorted(["a/b", "../../etc/passwd", "nul\\x00nul", None, None, names[5]], key=str)


@pytest.mark.parametrize("classes", [1, 10_000])
def test_any_number_of_classes(tmp_path: Path, classes: int) -> None:
    files = {f"train/class {i % classes}/{i}.png": png(i) for i in range(10_000)}
    source = tmp_path / "s.tar"
    source.write_bytes(tar(files))
    begun = time.monotonic()
    assert set(taken(tmp_path, source).values()) == {None}
    assert len(set(labels(tmp_path))) == classes
    assert time.monotonic() - begun < 60
