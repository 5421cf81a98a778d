"""What a file tells of people, places and devices is taken out before it is kept, and counted."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from PIL import ExifTags, Image

from pipeline.collect.erase import Eraser, erase_here
from pipeline.collect.snapshot import collect
from pipeline.dataset.profile import profile_of
from pipeline.manifest import find, read_bytes, read_manifest
from pipeline.media.image import Inspected, inspect_all
from pipeline.settings import Collect
from pipeline.tombstones import add_tombstones, read_tombstones
from tests.unit.test_collect import folder, png
from tests.unit.test_update import here

SECRET = b"Jane Doe of 12 Mill Lane"


def photograph(kind: str = "JPEG", **options: object) -> bytes:
    """With a place, a name, a camera's number, and turned by a quarter."""
    exif, out = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Artist] = SECRET.decode()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.BodySerialNumber] = "SN-4711"
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, kind, exif=exif, **options)
    return out.getvalue()


def update(root: Path) -> None:
    collect(Collect(source="s"), root, *(root / name for name in ("snapshot", "pixels", "ledgers")))


def test_nothing_of_it_is_kept_and_the_picture_is_the_same(tmp_path: Path) -> None:
    data = photograph()
    folder(tmp_path / "s", {"a/1.jpg": data, "a/2.png": png(2)})
    update(tmp_path)
    assert not any(SECRET in path.read_bytes() for path in (tmp_path / "snapshot").rglob("*") if path.is_file())
    table = read_manifest(tmp_path / "snapshot").sort_by("path")
    jpeg, clean = table.to_pylist()
    (kept,) = read_bytes(tmp_path / "snapshot", jpeg["part"], [jpeg["row"]])
    assert jpeg["sha256"] == hashlib.sha256(kept).hexdigest() and jpeg["original"] == hashlib.sha256(data).hexdigest()
    assert (clean["original"], clean["stripped"], jpeg["problem"]) == (None, None, None)
    before, after = (Image.open(io.BytesIO(found)) for found in (data, kept))
    assert before.tobytes() == after.tobytes() and dict(after.getexif()) == {ExifTags.Base.Orientation: 6}
    counted = profile_of(tmp_path / "snapshot").stripped
    assert {"EXIF": 1, "GPS": 1, "person": 1, "serial number": 1}.items() <= counted.items()
    found = list(find(tmp_path / "snapshot", lambda hashes: pc.equal(hashes, jpeg["original"])))
    assert [row["path"] for row in found] == ["a/1.jpg"]


def test_a_file_that_is_touched_is_not_decoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = folder(tmp_path / "s", {"a/1.jpg": photograph(), "a/2.png": png(2)})
    update(tmp_path)
    before, decoded = _rows(tmp_path), list[bytes]()

    def watched(contents: list[bytes], areas_side: int) -> Inspected:
        decoded.extend(contents)
        return inspect_all(contents, areas_side)

    monkeypatch.setattr("pipeline.media.image.inspect_all", watched)
    monkeypatch.setattr("pipeline.collect.decoding.each", here)
    (tree / "a/1.jpg").touch()
    update(tmp_path)
    assert _rows(tmp_path) == before and not decoded


def _rows(root: Path) -> list[dict[str, object]]:
    return read_manifest(root / "snapshot").drop_columns(["part", "row"]).sort_by("path").to_pylist()  # type: ignore[no-any-return]


def test_what_can_not_be_taken_out_is_quarantined_without_its_bytes(tmp_path: Path) -> None:
    data = photograph("TIFF")
    broken = data.replace(b"\x11\x01\x04\x00", b"\x11\x01\x07\x00", 1)  # where the pixels are is not told any more
    folder(tmp_path / "s", {"a/1.tif": broken, "a/2.png": png(2)})
    update(tmp_path)
    row = next(row for row in read_manifest(tmp_path / "snapshot").to_pylist() if row["path"] == "a/1.tif")
    assert row["problem"].startswith("metadata can't be taken out") and row["size_bytes"] == 0
    assert not any(SECRET in path.read_bytes() for path in (tmp_path / "snapshot").rglob("*") if path.is_file())


def test_it_is_forgotten_by_the_hash_of_the_file_and_in_any_other_dress(tmp_path: Path) -> None:
    """The same picture with other metadata, or without any, has the same bytes once these are taken out."""
    data = photograph()
    tree = folder(tmp_path / "s", {"a/1.jpg": data, "a/2.png": png(2)})
    update(tmp_path)
    row = next(row for row in read_manifest(tmp_path / "snapshot").to_pylist() if row["original"])
    add_tombstones(tmp_path, [row["sha256"], row["original"]], "2026-11-24")
    (tmp_path / "scratch").mkdir()
    eraser = Eraser(read_tombstones(tmp_path), tmp_path / "pixels", tmp_path / "scratch")
    erase_here(eraser, tmp_path / "snapshot", tmp_path / "ledgers")
    assert read_manifest(tmp_path / "snapshot")["path"].to_pylist() == ["a/2.png"]
    (tree / "a/1.jpg").rename(tree / "a/renamed.jpg")
    folder(tree, {"a/other.jpg": data.replace(SECRET, SECRET[::-1]), "a/longer.jpg": data + b"appended"})
    update(tmp_path)
    assert read_manifest(tmp_path / "snapshot")["path"].to_pylist() == ["a/2.png"]
