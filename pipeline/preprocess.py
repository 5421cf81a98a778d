"""Preprocess: accepted items, decoded and brought to one size and mode, into shards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import pixels
from pipeline.errors import ValidationError
from pipeline.facts import Coded, Facts, read_facts, read_rows
from pipeline.files import replacing_folder, write_json
from pipeline.manifest import read_bytes
from pipeline.media.image import normalise_all
from pipeline.parallel import each
from pipeline.settings import SIZES, Preprocess
from pipeline.shards import content_id
from pipeline.values import Shards

CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
INLINE_ITEMS = 4000
MOST_AUTO = 64
TASK_ITEMS = 2000
IMPORTS = ("pyarrow.parquet", "PIL.PngImagePlugin", "PIL.JpegImagePlugin")


@dataclass(frozen=True)
class Form:
    """What every image is brought to."""

    size: int
    mode: str
    fit: str

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.size, self.size, CHANNELS[self.mode]


def preprocess(
    settings: Preprocess,
    snapshot: Path,
    accepted: Path,
    kept: Path,
    out: Path,
    snapshot_id: str,
    progress: Callable[[int], None] = lambda done: None,
) -> Shards:
    """Write `{train,holdout}-{images,labels}.npy` and `shards.json` to `out`, whole or not at all.

    `kept`: pixels that were kept when the snapshot was collected; what is not there is decoded.
    Raises ValidationError where a split would be empty.
    """
    facts = read_facts(snapshot)
    chosen = read_rows(accepted, facts)
    sides, modes = np.maximum(facts.width, facts.height)[chosen], facts.mode.counts(chosen)
    form = choose_form(settings, sides, modes)
    classes = tuple(name for name, count in facts.label.counts(chosen).items() if count)
    rows = _by_hash(facts, np.flatnonzero(chosen))
    holdout = in_holdout(facts, settings.holdout)[rows]
    if holdout.all() or not holdout.any():
        raise ValidationError(
            "no items for training or none for the holdout", remedy="add items or set preprocess.holdout"
        )
    with replacing_folder(out) as folder:
        splits = {"train": rows[~holdout], "holdout": rows[holdout]}
        labels = _classes_of(facts.label, classes)
        arrays = {name: _allocate(folder, name, labels[split], form) for name, split in splits.items()}
        tasks = [task for name, split in splits.items() for task in _tasks(snapshot, facts, form, name, split)]
        _fill(kept, tasks, arrays, form, progress)
        flat = [array for pair in arrays.values() for array in pair]
        for array in flat:
            array.flush()
        meta = Shards(
            id=content_id(flat, "\n".join(classes)),
            snapshot=snapshot_id,
            size=form.size,
            channels=CHANNELS[form.mode],
            classes=classes,
            train_items=len(splits["train"]),
            holdout_items=len(splits["holdout"]),
        )
        write_json(folder / "shards.json", meta.model_dump())
    return meta


def in_holdout(facts: Facts, share: float) -> NDArray[np.bool_]:
    """bool [N]: the source's own split where it has one, else by the content's hash, for life."""
    begins = np.ascontiguousarray(facts.sha256[:, :4]).view(">u4")[:, 0]
    by_hash = begins / 2**32 < share
    return facts.split.among({"holdout"}) | (by_hash & ~facts.split.among({"train"}))


def choose_form(settings: Preprocess, sides: NDArray[np.int32], modes: Mapping[str, int]) -> Form:
    """Resolve `auto`: the median longer side, 16 to 64, as the nearest size the networks take; the commonest mode.

    sides: the longer one of each item; modes: how many items have each.
    """
    if settings.size == "auto":
        median = float(np.median(sides))
        size = min((size for size in SIZES if size <= MOST_AUTO), key=lambda candidate: abs(candidate - median))
    else:
        size = settings.size
    return Form(size, _commonest(modes) if settings.mode == "auto" else settings.mode, settings.fit)


def _commonest(modes: Mapping[str, int]) -> str:
    mode = min(modes, key=lambda name: (-modes[name], name))
    return "L" if mode in ("1", "L", "I;16", "I", "F") else "RGBA" if mode in ("RGBA", "LA", "PA") else "RGB"


def _by_hash(facts: Facts, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """In the order of the hashes: the same items are the same shards, whichever parts they are in."""
    words = facts.sha256[rows].view(">u8")
    return rows[np.lexsort(words.T[::-1])]


def _classes_of(label: Coded, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """int64 [N]: the index of each row's label; 0 where there is none."""
    index = {name: number for number, name in enumerate(classes)}
    mapping = np.array([*(index.get(name, 0) for name in label.names), 0], np.int64)  # -1, no text, finds the last
    return mapping[label.codes]


def _allocate(folder: Path, name: str, classes: NDArray[np.int64], form: Form) -> tuple[Any, Any]:
    shape = (len(classes), CHANNELS[form.mode], form.size, form.size)
    images = np.lib.format.open_memmap(folder / f"{name}-images.npy", mode="w+", dtype=np.uint8, shape=shape)
    labels = np.lib.format.open_memmap(folder / f"{name}-labels.npy", mode="w+", dtype=np.int64, shape=shape[:1])
    for array in (images, labels):
        _reserve(array)
    labels[:] = classes
    return images, labels


def _reserve(array: np.memmap[Any, Any]) -> None:
    """Take the disk's space now, as an error that can be told: a full disk found in mapped memory kills the process."""
    if hasattr(os, "posix_fallocate") and array.nbytes:
        with open(str(array.filename), "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, array.offset + array.nbytes)


@dataclass(frozen=True)
class _Task:
    """Rows of one part, what they are brought to, and where in which split's array each goes."""

    snapshot: Path
    form: Form
    split: str
    part: str
    rows: NDArray[np.int64]
    places: NDArray[np.int64]


def _tasks(snapshot: Path, facts: Facts, form: Form, split: str, rows: NDArray[np.int64]) -> Iterator[_Task]:
    """rows: of the split, in the order of its array."""
    places = np.argsort(rows)
    for part, local, here in facts.by_part(rows[places]):
        for start in range(0, len(local), TASK_ITEMS):
            some = slice(start, start + TASK_ITEMS)
            yield _Task(snapshot, form, split, part, local[some], places[here][some])


def _decode(task: _Task) -> NDArray[np.uint8]:
    data = read_bytes(task.snapshot, task.part, task.rows.tolist())
    return normalise_all(data, task.form.size, task.form.mode, task.form.fit)


def _kept(folder: Path, part: str, form: Form) -> NDArray[np.uint8] | None:
    block = pixels.kept(folder, part)
    return block if block is not None and block.shape[1:] == form.shape else None


def _fill(kept: Path, tasks: list[_Task], arrays: dict[str, Any], form: Form, progress: Callable[[int], None]) -> None:
    done = 0
    for task, images in _images(kept, tasks, form):
        arrays[task.split][0][task.places] = images
        done += len(task.rows)
        progress(done)


def _images(kept: Path, tasks: list[_Task], form: Form) -> Iterator[tuple[_Task, NDArray[np.uint8]]]:
    """Each task with its images: of parts whose pixels were kept, a part at a time; then what has to be decoded."""
    part_of, rest = attrgetter("part"), list[_Task]()
    for part, members in groupby(sorted(tasks, key=part_of), part_of):
        block = _kept(kept, part, form)
        if block is None:
            rest += members
        else:
            yield from ((task, block[task.rows].transpose(0, 3, 1, 2)) for task in members)
    inline = sum(len(task.rows) for task in rest) <= INLINE_ITEMS
    yield from zip(rest, map(_decode, rest) if inline else each(_decode, rest, IMPORTS), strict=True)
