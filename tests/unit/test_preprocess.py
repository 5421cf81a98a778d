"""The form that items are brought to, and the pixels that need not be decoded again."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from pipeline import pixels
from pipeline.collect.snapshot import collect
from pipeline.facts import read_facts, write_rows
from pipeline.files import sha256_file
from pipeline.manifest import read_manifest
from pipeline.preprocess import choose_form, preprocess
from pipeline.settings import SIZES, Collect, Preprocess
from pipeline.shards import open_shards
from pipeline.values import Snapshot


@pytest.mark.parametrize(
    ("side", "size"), [(1, 16), (8, 16), (28, 28), (36, 32), (37, 40), (44, 40), (60, 56), (500, 64)]
)
def test_auto_is_a_size_that_can_be_trained(side: int, size: int) -> None:
    form = choose_form(Preprocess(), np.array([1, side, side], np.int32), {"RGB": 2, "L": 1})
    assert (form.size, form.mode) == (size, "RGB")
    assert form.size in SIZES


def source(folder: Path, mode: str, side: int = 28, **options: Any) -> None:
    """Forty pictures in two classes, and a damaged one, beside their params."""
    random = np.random.default_rng(0)
    for i in range(40):
        path = folder / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = random.integers(0, 256, (side, side, len(mode)), dtype=np.uint8)
        Image.fromarray(noise.squeeze(), mode).save(path, **options)
    (folder / "a/cut.png").write_bytes(path.read_bytes()[:70])


def collected(tmp_path: Path) -> Snapshot:
    snapshot = collect(
        Collect(source="source"), tmp_path, tmp_path / "snapshot", tmp_path / "pixels", tmp_path / "ledgers"
    )
    facts = read_facts(tmp_path / "snapshot")
    write_rows(tmp_path / "accepted.parquet", facts, ~facts.problem.known)
    return snapshot


def shards(tmp_path: Path, snapshot: Snapshot, settings: Preprocess) -> str:
    out = tmp_path / "shards"
    meta = preprocess(
        settings, tmp_path / "snapshot", tmp_path / "accepted.parquet", tmp_path / "pixels", out, snapshot.id
    )
    assert len(open_shards(out).train_images) + len(open_shards(out).holdout_images) == 40
    return meta.id


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_kept_pixels_make_the_same_shards(tmp_path: Path, mode: str) -> None:
    source(tmp_path / "source", mode)
    snapshot = collected(tmp_path)
    (part,) = [part.name for part in snapshot.parts]
    block = pixels.kept(tmp_path / "pixels", part)
    assert block is not None and block.shape == (41, 28, 28, len(mode))
    settings = Preprocess(size=28)
    with_pixels = shards(tmp_path, snapshot, settings)
    pixels.prune(tmp_path / "pixels", [])
    assert not list((tmp_path / "pixels").iterdir())
    assert shards(tmp_path, snapshot, settings) == with_pixels


def test_pixels_made_by_other_code_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source(tmp_path / "source", "L")
    (part,) = [part.name for part in collected(tmp_path).parts]
    assert pixels.kept(tmp_path / "pixels", part) is not None
    changed = tmp_path / "image.py"
    changed.write_text("another way to normalise")
    monkeypatch.setattr(pixels.image, "__file__", str(changed))
    assert pixels.kept(tmp_path / "pixels", part) is None


def test_damaged_pixels_are_not_used(tmp_path: Path) -> None:
    source(tmp_path / "source", "L")
    snapshot = collected(tmp_path)
    before = shards(tmp_path, snapshot, Preprocess(size=28))
    (file,) = (tmp_path / "pixels").glob("*.npy")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert shards(tmp_path, snapshot, Preprocess(size=28)) == before
    receipt = json.loads(file.with_suffix(".json").read_text())
    file.write_bytes(b"no array")
    for text in ("{", json.dumps(receipt), json.dumps(receipt | {"sha256": sha256_file(file)})):
        file.with_suffix(".json").write_text(text)
        assert shards(tmp_path, snapshot, Preprocess(size=28)) == before


UPSIDE_DOWN = Image.Exif()
UPSIDE_DOWN[ExifTags.Base.Orientation] = 3


@pytest.mark.parametrize(
    ("mode", "options"),
    [("L", {"side": 65}), ("L", {"transparency": 3}), ("RGB", {"exif": UPSIDE_DOWN})],
)
def test_pixels_that_normalising_would_change_are_not_kept(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    source(tmp_path / "source", mode, **options)
    collected(tmp_path)
    assert not (tmp_path / "pixels").exists()


def test_pixels_are_those_of_the_part_after_its_labels_are_settled(tmp_path: Path) -> None:
    """In a tar a wrapping folder is first taken for the label: the part is written again, under another name."""
    import tarfile

    with tarfile.open(tmp_path / "source.tar", "w") as archive:
        for name in ("x/y/a/1.png", "x/y/a/2.png", "x/y/b/c/1.png"):
            out = io.BytesIO()
            Image.fromarray(np.full((8, 8), len(name) + int(name[-5]), np.uint8)).save(out, "PNG")
            member = tarfile.TarInfo(name)
            member.size = len(out.getvalue())
            archive.addfile(member, io.BytesIO(out.getvalue()))
    snapshot = collect(
        Collect(source="source.tar"), tmp_path, tmp_path / "snapshot", tmp_path / "pixels", tmp_path / "ledgers"
    )
    assert read_manifest(tmp_path / "snapshot")["label"].to_pylist() == ["a", "a", "b"]
    (part,) = snapshot.parts
    block = pixels.kept(tmp_path / "pixels", part.name)
    assert block is not None and block[:, 0, 0, 0].tolist() == [12, 13, 14]
