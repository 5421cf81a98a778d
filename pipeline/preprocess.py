"""Preprocess: accepted items, decoded and brought to one size and mode, into shards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ValidationError
from pipeline.files import replacing_folder, write_json
from pipeline.manifest import read_bytes
from pipeline.media.image import normalise_all
from pipeline.settings import SIZES, Preprocess
from pipeline.shards import content_id
from pipeline.values import Shards

CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}
INLINE_ITEMS = 4000
MOST_AUTO = 64
TASK_ITEMS = 2000


@dataclass(frozen=True)
class Form:
    """What every image is brought to."""

    size: int
    mode: str
    fit: str


def preprocess(
    settings: Preprocess,
    snapshot: Path,
    accepted: Path,
    out: Path,
    snapshot_id: str,
    progress: Callable[[int], None] = lambda done: None,
) -> Shards:
    """Write `{train,holdout}-{images,labels}.npy` and `shards.json` to `out`, whole or not at all.

    Raises ValidationError where a split would be empty.
    """
    import pandas as pd

    rows = pd.read_parquet(accepted)
    form = choose_form(settings, rows)
    classes = tuple(sorted(rows["label"].dropna().unique()))
    index = {name: i for i, name in enumerate(classes)}
    rows["class"] = [index.get(label, 0) for label in rows["label"]]
    holdout = in_holdout(rows, settings.holdout)
    if holdout.all() or not holdout.any():
        raise ValidationError(
            "no items for training or none for the holdout", remedy="add items or set preprocess.holdout"
        )
    with replacing_folder(out) as folder:
        splits = {"train": rows[~holdout], "holdout": rows[holdout]}
        arrays = {name: _allocate(folder, name, split, form) for name, split in splits.items()}
        _fill(snapshot, splits, arrays, form, progress)
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


def in_holdout(rows: Any, share: float) -> NDArray[np.bool_]:
    """bool [N]: the source's own split where it has one, else by the content's hash, for life."""
    by_hash = np.array([int(sha[:8], 16) / 2**32 < share for sha in rows["sha256"]])
    split = rows["split"].to_numpy()
    return np.where(split == "holdout", True, np.where(split == "train", False, by_hash))


def choose_form(settings: Preprocess, rows: Any) -> Form:
    """Resolve `auto`: the median longer side, 16 to 64, as the nearest size the networks take; the commonest mode."""
    if settings.size == "auto":
        median = float(np.median(np.maximum(rows["width"], rows["height"])))
        size = min((size for size in SIZES if size <= MOST_AUTO), key=lambda candidate: abs(candidate - median))
    else:
        size = settings.size
    mode = settings.mode if settings.mode != "auto" else _commonest_mode(rows["mode"])
    return Form(size, mode, settings.fit)


def _commonest_mode(modes: Any) -> str:
    mode = str(modes.mode().iloc[0])
    return "L" if mode in ("1", "L", "I;16", "I", "F") else "RGBA" if mode in ("RGBA", "LA", "PA") else "RGB"


def _allocate(folder: Path, name: str, rows: Any, form: Form) -> tuple[Any, Any]:
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
    """Rows of one part, and where in which split's array each goes."""

    split: str
    part: str
    rows: list[int]
    places: list[int]


def _tasks(splits: dict[str, Any]) -> Iterator[_Task]:
    for split, rows in splits.items():
        found = sorted(zip(rows["part"], rows["row"], range(len(rows)), strict=True))
        for part, group in groupby(found, key=lambda item: item[0]):
            members = list(group)
            for start in range(0, len(members), TASK_ITEMS):
                chunk = members[start : start + TASK_ITEMS]
                yield _Task(split, part, [int(m[1]) for m in chunk], [int(m[2]) for m in chunk])


def _decode(snapshot: Path, form: Form, task: _Task) -> NDArray[np.uint8]:
    data = read_bytes(snapshot, task.part, task.rows)
    return normalise_all(data, form.size, form.mode, form.fit)


def _fill(
    snapshot: Path, splits: dict[str, Any], arrays: dict[str, Any], form: Form, progress: Callable[[int], None]
) -> None:
    tasks, done = list(_tasks(splits)), 0
    for task, images in zip(tasks, _decoded(snapshot, form, tasks), strict=True):
        arrays[task.split][0][task.places] = images
        done += len(task.rows)
        progress(done)


def _decoded(snapshot: Path, form: Form, tasks: list[_Task]) -> Iterator[NDArray[np.uint8]]:
    if sum(len(task.rows) for task in tasks) <= INLINE_ITEMS:
        yield from (_decode(snapshot, form, task) for task in tasks)
        return
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        window = 2 * (os.cpu_count() or 1)
        running = [pool.submit(_decode, snapshot, form, task) for task in tasks[:window]]
        for position in range(len(tasks)):
            if position + window < len(tasks):
                running.append(pool.submit(_decode, snapshot, form, tasks[position + window]))
            future = running[position]
            yield future.result()
            running[position] = None  # type: ignore[call-overload]
