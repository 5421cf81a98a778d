"""Preprocess: accepted items, decoded and brought to one size and mode, into shards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline import pixels
from pipeline.errors import ValidationError
from pipeline.files import replacing_folder, write_json
from pipeline.manifest import read_bytes
from pipeline.media.image import normalise_all
from pipeline.parallel import each
from pipeline.settings import SIZES, Preprocess
from pipeline.shards import content_id
from pipeline.values import Shards

if TYPE_CHECKING:
    import pyarrow as pa

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
    import pyarrow.parquet as pq

    rows = pq.read_table(accepted)
    form = choose_form(settings, rows)
    classes = tuple(sorted(rows["label"].drop_null().unique().to_pylist()))
    rows = rows.append_column("class", _classes_of(rows["label"], classes))
    holdout = in_holdout(rows, settings.holdout)
    if holdout.all() or not holdout.any():
        raise ValidationError(
            "no items for training or none for the holdout", remedy="add items or set preprocess.holdout"
        )
    with replacing_folder(out) as folder:
        splits = {"train": rows.filter(~holdout), "holdout": rows.filter(holdout)}
        arrays = {name: _allocate(folder, name, split, form) for name, split in splits.items()}
        _fill(snapshot, kept, splits, arrays, form, progress)
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


def in_holdout(rows: pa.Table, share: float) -> NDArray[np.bool_]:
    """bool [N]: the source's own split where it has one, else by the content's hash, for life."""
    by_hash = np.array([int(sha[:8], 16) / 2**32 < share for sha in rows["sha256"].to_pylist()], bool)
    split = np.array(rows["split"].to_pylist())
    return np.where(split == "holdout", True, np.where(split == "train", False, by_hash))


def choose_form(settings: Preprocess, rows: pa.Table) -> Form:
    """Resolve `auto`: the median longer side, 16 to 64, as the nearest size the networks take; the commonest mode."""
    if settings.size == "auto":
        median = float(np.median(np.maximum(rows["width"].to_numpy(), rows["height"].to_numpy())))
        size = min((size for size in SIZES if size <= MOST_AUTO), key=lambda candidate: abs(candidate - median))
    else:
        size = settings.size
    mode = settings.mode if settings.mode != "auto" else _commonest_mode(rows["mode"])
    return Form(size, mode, settings.fit)


def _commonest_mode(modes: pa.ChunkedArray) -> str:
    counts = {found["values"]: found["counts"] for found in modes.value_counts().to_pylist()}
    mode = min(counts, key=lambda name: (-counts[name], name))
    return "L" if mode in ("1", "L", "I;16", "I", "F") else "RGBA" if mode in ("RGBA", "LA", "PA") else "RGB"


def _classes_of(labels: pa.ChunkedArray, classes: tuple[str, ...]) -> pa.ChunkedArray:
    """int64 [N]: the index of each label; 0 where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.fill_null(pc.index_in(labels, pa.array(classes, pa.string())).cast(pa.int64()), 0)


def _allocate(folder: Path, name: str, rows: pa.Table, form: Form) -> tuple[Any, Any]:
    shape = (len(rows), CHANNELS[form.mode], form.size, form.size)
    images = np.lib.format.open_memmap(folder / f"{name}-images.npy", mode="w+", dtype=np.uint8, shape=shape)
    labels = np.lib.format.open_memmap(folder / f"{name}-labels.npy", mode="w+", dtype=np.int64, shape=(len(rows),))
    for array in (images, labels):
        _reserve(array)
    labels[:] = rows["class"].to_numpy()
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
    rows: list[int]
    places: list[int]


def _tasks(snapshot: Path, form: Form, splits: dict[str, pa.Table]) -> Iterator[_Task]:
    for split, rows in splits.items():
        found = sorted(zip(rows["part"].to_pylist(), rows["row"].to_pylist(), range(len(rows)), strict=True))
        for part, group in groupby(found, key=lambda item: item[0]):
            members = list(group)
            for start in range(0, len(members), TASK_ITEMS):
                chunk = members[start : start + TASK_ITEMS]
                yield _Task(snapshot, form, split, part, [int(m[1]) for m in chunk], [int(m[2]) for m in chunk])


def _decode(task: _Task) -> NDArray[np.uint8]:
    data = read_bytes(task.snapshot, task.part, task.rows)
    return normalise_all(data, task.form.size, task.form.mode, task.form.fit)


def _kept(folder: Path, part: str, form: Form) -> NDArray[np.uint8] | None:
    block = pixels.kept(folder, part)
    return block if block is not None and block.shape[1:] == form.shape else None


def _fill(
    snapshot: Path,
    kept: Path,
    splits: dict[str, pa.Table],
    arrays: dict[str, Any],
    form: Form,
    progress: Callable[[int], None],
) -> None:
    tasks, done = list(_tasks(snapshot, form, splits)), 0
    ready = {part: block for part in {task.part for task in tasks} if (block := _kept(kept, part, form)) is not None}
    tasks.sort(key=lambda task: task.part not in ready)  # what is to be decoded comes last
    rest = [task for task in tasks if task.part not in ready]
    copied = (ready[task.part][task.rows].transpose(0, 3, 1, 2) for task in tasks if task.part in ready)
    inline = sum(len(task.rows) for task in rest) <= INLINE_ITEMS
    decoded = map(_decode, rest) if inline else each(_decode, rest, IMPORTS)
    for task, images in zip(tasks, chain(copied, decoded), strict=True):
        arrays[task.split][0][task.places] = images
        done += len(task.rows)
        progress(done)
