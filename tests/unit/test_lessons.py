"""Lessons on disk: what is read is what was written, none are always the same bytes, and a bad folder is one error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pipeline.errors import GenloopError
from pipeline.files import sha256_file, sha256_json, write_json
from pipeline.lessons import LEAST, Lessons, drawn, read_lessons, weights_of, write_lessons
from pipeline.start import Start

Arrays = dict[str, np.ndarray]


def lessons() -> Lessons:
    random = np.random.default_rng(0)
    weights = {"a.weight": random.random((3, 2), np.float32), "steps": np.array(7)}
    return Lessons(
        shards="x",
        classes=("a", "b"),
        preference="p1",
        position="17",
        rejected=random.integers(0, 256, (5, 3, 16, 16), np.uint8),
        labels=np.array([0, 1, 1, 0, 1]),
        train_chances=random.random(9, np.float32),
        holdout_chances=random.random(4, np.float32),
        champion=Start(weights, {"score": np.ones(2, np.float32)}, ("a", "b"), 0.25, 640),
    )


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    made = lessons()
    identity = write_lessons(tmp_path / "l", made)
    found = read_lessons(tmp_path / "l")
    assert found.id == identity and not found.empty
    assert (found.shards, found.classes, found.preference, found.position) == ("x", ("a", "b"), "p1", "17")
    for name, array in made.arrays.items():
        assert (getattr(found, name) == array).all() and getattr(found, name).dtype == array.dtype
    assert found.champion and made.champion and found.champion.augment == 0.25
    for name, array in made.champion.generator.items():
        assert (found.champion.generator[name] == array).all() and found.champion.generator[name].shape == array.shape
    assert write_lessons(tmp_path / "again", made) == identity
    files = [{p.name: p.read_bytes() for p in (tmp_path / name).rglob("*.*")} for name in ("l", "again")]
    assert files[0] == files[1]


def test_none_are_always_the_same_bytes(tmp_path: Path) -> None:
    for name, made in (("a", Lessons()), ("b", Lessons(shards="x", classes=("a",), preference="p9", position="40"))):
        write_lessons(tmp_path / name, made)
        assert [path.name for path in (tmp_path / name).iterdir()] == ["lessons.json"]
        assert read_lessons(tmp_path / name).empty
    assert sha256_file(tmp_path / "a/lessons.json") == sha256_file(tmp_path / "b/lessons.json")
    assert read_lessons(tmp_path / "nowhere").empty


def _told(folder: Path, **changes: object) -> None:
    told = json.loads((folder / "lessons.json").read_text())
    write_json(folder / "lessons.json", told | changes)


def _arrays(folder: Path, change: Callable[[Arrays], object]) -> None:
    """Changed by one who knows how to hash."""
    arrays = load_file(folder / "lessons.safetensors")
    change(arrays)
    save_file(arrays, folder / "lessons.safetensors")
    _told(folder, arrays_sha256=sha256_file(folder / "lessons.safetensors"))


def _champion(folder: Path) -> None:
    path = folder / "champion/generator.safetensors"
    save_file({name: np.full_like(array, np.nan, np.float32) for name, array in load_file(path).items()}, path)
    told = json.loads((folder / "champion/training.json").read_text())
    write_json(folder / "champion/training.json", told | {"generator_sha256": sha256_file(path)})
    _told(folder, champion_sha256=sha256_file(folder / "champion/training.json"))


def _cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda f: _cut(f / "lessons.safetensors", 0.5), "hash"),
    "truncated told": (lambda f: _cut(f / "lessons.json", 0.5), "not what lessons.json must be"),
    "no file": (lambda f: (f / "lessons.safetensors").unlink(), "can't be read"),
    "not safetensors": (lambda f: _raw(f, b"\xff" * 100), "can't be read"),
    "a header as large as memory": (lambda f: _raw(f, b"\xff" * 7 + b"\x7f{}"), "can't be read"),
    "not JSON": (lambda f: (f / "lessons.json").write_bytes(b"\xff\x00{"), "not what lessons.json must be"),
    "another format": (lambda f: _told(f, format=9), "not what lessons.json must be"),
    "an unknown key": (lambda f: _told(f, path="/etc/passwd"), "not what lessons.json must be"),
    "too few labels": (lambda f: _arrays(f, lambda a: a.update(labels=a["labels"][:3])), "with 3 labels"),
    "a label of no class": (lambda f: _arrays(f, lambda a: a["labels"].__setitem__(0, 2)), "labels go from 0 to 2"),
    "a label below 0": (lambda f: _arrays(f, lambda a: a["labels"].__setitem__(0, -1)), "labels go from -1"),
    "no images": (lambda f: _arrays(f, lambda a: a.update(rejected=a["rejected"][0])), r"uint8 \[3, 16, 16\]"),
    "not square": (lambda f: _arrays(f, lambda a: a.update(rejected=a["rejected"][:, :, 1:])), "15, 16"),
    "of floats": (lambda f: _arrays(f, lambda a: a.update(rejected=a["rejected"] / 1.0)), "rejected is float64"),
    "NaN": (lambda f: _arrays(f, lambda a: a["train_chances"].__setitem__(2, np.nan)), "not all from 0 to 1"),
    "above 1": (lambda f: _arrays(f, lambda a: a["holdout_chances"].__setitem__(2, 1.5)), "not all from 0 to 1"),
    "one split": (lambda f: _arrays(f, lambda a: a.update(train_chances=a["train_chances"][:0])), "one split only"),
    "an array too few": (lambda f: _arrays(f, lambda a: a.pop("labels")), "it holds holdout_chances"),
    "a champion of NaN": (_champion, "no finite numbers"),
    "another champion": (lambda f: (f / "champion/training.json").write_text("{}"), "not the one that was written"),
    "no champion": (lambda f: (f / "champion/discriminator.safetensors").unlink(), "can't be read"),
}


def _raw(folder: Path, data: bytes) -> None:
    (folder / "lessons.safetensors").write_bytes(data)
    _told(folder, arrays_sha256=sha256_file(folder / "lessons.safetensors"))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_is_one_clear_error(tmp_path: Path, name: str) -> None:
    spoil, words = BAD[name]
    write_lessons(tmp_path / "l", lessons())
    spoil(tmp_path / "l")
    with pytest.raises(GenloopError, match=words) as caught:
        read_lessons(tmp_path / "l")
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value) and caught.value.remedy


def test_what_would_be_bad_is_not_written(tmp_path: Path) -> None:
    write_lessons(tmp_path / "l", Lessons())
    before = sha256_json((tmp_path / "l/lessons.json").read_text())
    with pytest.raises(GenloopError, match="not all from 0 to 1"):
        write_lessons(tmp_path / "l", Lessons(train_chances=np.array([np.inf], np.float32)))
    assert sha256_json((tmp_path / "l/lessons.json").read_text()) == before


def test_weights_are_bounded() -> None:
    chances = np.array([0.8, 0.4, 0.2, 0.0], np.float32)
    assert weights_of(chances, 1.0) == pytest.approx([1, 0.5, 0.25, LEAST])
    assert weights_of(chances, 2.0) == pytest.approx([1, 0.25, 0.0625, LEAST])
    assert weights_of(np.zeros(3, np.float32), 4.0) == pytest.approx([LEAST] * 3)


def test_rows_are_drawn_as_often_as_they_should_on_average() -> None:
    ideal, random = np.array([0.5, 2.25, 0.0, 1.0, 0.05, 1.2]), np.random.default_rng(0)
    counts = np.array([np.bincount(drawn(ideal, random), minlength=6) for _ in range(4000)])
    assert (counts.sum(1) == 5).all()
    assert (counts >= np.floor(ideal)).all() and (counts <= np.ceil(ideal)).all()
    assert counts.mean(0) == pytest.approx(ideal, abs=0.03)
