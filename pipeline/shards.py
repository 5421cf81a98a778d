"""The shards on disk: fixed-size uint8 arrays, read memory-mapped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DamagedError
from pipeline.values import Shards


@dataclass(frozen=True)
class ShardsReader:
    """Images are uint8 [N, C, H, W], labels int64 [N]; both memory-mapped, never loaded whole.

    folder: where they lie, so that another process can open them too.
    """

    meta: Shards
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    holdout_images: NDArray[np.uint8]
    holdout_labels: NDArray[np.int64]
    folder: Path | None = None


def open_shards(folder: Path) -> ShardsReader:
    """Open what `preprocess` wrote to `folder`."""
    arrays = {
        f"{split}_{kind}": np.load(folder / f"{split}-{kind}.npy", mmap_mode="r")
        for split in ("train", "holdout")
        for kind in ("images", "labels")
    }
    meta = Shards.model_validate_json((folder / "shards.json").read_text())
    return ShardsReader(meta, **arrays, folder=folder.absolute())


def whole_shards(folder: Path) -> ShardsReader:
    """The same, once every byte was held against their id: a disk may give other bytes than it was given.

    Raises DamagedError.
    """
    try:
        shards = open_shards(folder)
        train, holdout = (shards.train_images, shards.train_labels), (shards.holdout_images, shards.holdout_labels)
        found = content_id([*train, *holdout], "\n".join(shards.meta.classes))
    except (ValueError, OSError) as error:
        raise _damaged(folder, " ".join(str(error).split())) from error
    if found != shards.meta.id:
        raise _damaged(folder, f"their hash is {found} and not {shards.meta.id}")
    return shards


def _damaged(folder: Path, why: str) -> DamagedError:
    remedy = "`genloop run` makes them anew; look whether the disk is well"
    return DamagedError(f"the shards are not what was written: {why}", where=str(folder), remedy=remedy)


def content_id(arrays: list[NDArray[np.generic]], header: str) -> str:
    """16 hex digits of the SHA-256 over the arrays' bytes, read in bounded blocks."""
    digest = hashlib.sha256(header.encode())
    for array in arrays:
        for block in _blocks(array):
            digest.update(np.ascontiguousarray(block).view(np.uint8).data)
    return digest.hexdigest()[:16]


def _blocks(array: NDArray[np.generic], rows: int = 4096) -> Iterator[NDArray[np.generic]]:
    for start in range(0, len(array), rows):
        yield array[start : start + rows]
