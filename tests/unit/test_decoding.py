"""Bytes that a decoder dies of, never ends at or needs all memory for cost their item and nothing else."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.collect import chunks, decoding
from pipeline.collect.snapshot import collect
from pipeline.dataset import page
from pipeline.dataset.diff import Item
from pipeline.manifest import read_manifest
from pipeline.settings import Collect
from pipeline.tombstones import add_tombstones
from pipeline.workers import Limits, Loss, Worker
from tests.unit.test_collect import folder, png, snap, table, tar
from tests.unit.test_generated import BATCH, known, tiles, variants

SLOW = f"decoding took longer than {decoding.TIMEOUT_S} s"
linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel sets no bound to a process's memory")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Deadly bytes in the workers; gives each worker that starts."""
    found, start = list[Any](), Worker._started

    def counted(worker: Worker[Any, Any]) -> Any:
        found.append(worker)
        return start(worker)

    monkeypatch.setattr(Worker, "_started", counted)
    monkeypatch.setattr(decoding, "IMPORTS", (*decoding.IMPORTS, "tests.unit.deadly"))
    monkeypatch.setattr(decoding, "LIMITS", Limits(2, 3 * 2**30))
    return found


def rows(workspace: Path, *without: str) -> list[dict[str, Any]]:
    return sorted(
        read_manifest(workspace / "snapshot").drop_columns(list(without)).to_pylist(), key=lambda r: r["path"]
    )


def deadly(seed: int, word: bytes) -> bytes:
    """With the word among its pixels, where nothing takes it out."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    pixels[0, : len(word)] = list(word)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "BMP")
    return out.getvalue()


def harmless(data: bytes) -> bytes:
    return data.replace(b"KILL", b"LIKE").replace(b"HANG", b"SANG")


def test_the_guilty_are_found_among_many_and_all_others_are_as_usual(
    tmp_path: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ITEMS", 100)
    files = {f"{'ab'[i % 2]}/{i:03}.png": png(i) for i in range(600)}
    files |= {"a/106.png": deadly(106, b"KILL"), "a/108.png": deadly(108, b"HANG"), "b/333.png": deadly(333, b"KILL")}
    files |= {"a/110.png": b"", "a/112.png": b"words"}
    guilty = {"a/106.png": "the decoder died", "a/108.png": SLOW, "b/333.png": "the decoder died"}
    snapshot, problems = snap(folder(tmp_path / "s", files), tmp_path)
    others = {"a/110.png": "empty file", "a/112.png": "not an image"}
    assert {path: why for path, why in problems.items() if why} == guilty | others
    at_first = os.cpu_count() or 2
    assert len(started) <= at_first + (1 + 2 + 1) + (1 + 2)  # a chunk's death; alone, one of slowness, two of death

    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    source = folder(undisturbed / "s", {path: harmless(data) for path, data in files.items()})
    snap(source, undisturbed)
    for found, expected in zip(*(rows(root, "part") for root in (tmp_path, undisturbed)), strict=True):
        if found["path"] not in guilty:
            assert found == expected
        else:
            assert found["size_bytes"] == expected["size_bytes"] > 0 and found["label"] == expected["label"]

    again = tmp_path / "again"
    again.mkdir()
    assert snap(tmp_path / "s", again)[0].parts == snapshot.parts


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_one_deadly_image_of_three_does_not_end_a_small_update(tmp_path: Path, started: list[Any], kind: str) -> None:
    files = {"1.png": png(1), "2.png": deadly(2, b"KILL"), "3.png": png(3)}
    source = tmp_path / f"s.{kind}"
    if kind == "folder":
        folder(source, files)
    elif kind == "tar":
        source.write_bytes(tar(files))
    else:
        table(source, [{"bytes": data, "path": path} for path, data in files.items()])
    _, problems = snap(source, tmp_path)
    assert problems == {"1.png": None, "2.png": "the decoder died", "3.png": None}


@linux
def test_an_image_that_needs_all_memory_is_told(tmp_path: Path, started: list[Any]) -> None:
    source = folder(tmp_path / "s", {"1.png": png(1), "2.png": deadly(2, b"SWELL")})
    assert snap(source, tmp_path)[1] == {"1.png": None, "2.png": "needs too much memory"}
    assert len(started) == 1


def test_an_update_without_a_new_image_starts_no_process(tmp_path: Path, started: list[Any]) -> None:
    source = folder(tmp_path / "s", {"1.png": png(1), "2.png": png(2)})
    snap(source, tmp_path)
    assert len(started) == 1
    (source / "2.png").rename(source / "3.png")
    folder(source, {"4.png": b""})
    assert snap(source, tmp_path)[1] == {"1.png": None, "3.png": None, "4.png": "empty file"}
    snap(source, tmp_path)
    assert len(started) == 1


def test_the_pixels_that_are_kept_are_those_of_an_undisturbed_collection(
    tmp_path: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{i}.png": png(i) for i in range(9)}
    snap(folder(tmp_path / "s", files | {"4.png": deadly(4, b"KILL")}), tmp_path)
    (kept,) = (tmp_path / "pixels").glob("*.npy")
    block = np.load(kept)
    assert not block[4].any() and block[5].any() and block.shape == (9, 8, 8, 1)


def test_what_a_decoder_dies_of_is_on_the_page_without_a_picture(
    tmp_path: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PLUGINS", (*page.PLUGINS, "tests.unit.deadly"))
    snap(folder(tmp_path / "s", {"1.png": png(1), "2.png": deadly(2, b"KILL")}), tmp_path)
    (part,) = (tmp_path / "snapshot/parts").iterdir()
    items = [Item("", None, "", "s", f"{row + 1}.png", part, row) for row in range(2)]
    text = page.quarantine_page({"the decoder died": items})
    assert text.count("<img") == 1 and "2.png" in text


def test_what_is_forgotten_or_our_own_is_so_beside_deadly_bytes_too(tmp_path: Path, started: list[Any]) -> None:
    images = tiles()
    known(tmp_path, images[:2])
    add_tombstones(tmp_path, [hashlib.sha256(images[20]).hexdigest()], "2026-11-01")
    tree = {"forgotten.png": images[20], "near.jpg": variants(images[1])["jpeg"], "own.png": images[0]}
    folder(tmp_path / "s", tree | {"deadly.png": deadly(2, b"KILL"), "real.png": images[21]})
    places = [tmp_path / name for name in ("out", "kept", "ledgers")]
    collect(Collect(source="s"), tmp_path, *places, generated=tmp_path / "generated")
    manifest = read_manifest(tmp_path / "out")
    assert dict(zip(manifest["path"].to_pylist(), manifest["problem"].to_pylist(), strict=True)) == {
        "deadly.png": "the decoder died",
        "near.jpg": f"made by this system: near-copy of an image in batch {BATCH}",
        "own.png": f"made by this system: in batch {BATCH}",
        "real.png": None,
    }


def test_every_loss_has_a_problem() -> None:
    assert set(decoding.PROBLEMS) == set(Loss)
