"""Shards on disk that train in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.shards import ShardsReader, open_shards
from pipeline.values import Shards


def small_shards(folder: Path, size: int = 16, channels: int = 1, classes: int = 3, items: int = 200) -> ShardsReader:
    """Class by class, images of one brightness each, with noise; train and holdout of as many items."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for split in ("train", "holdout"):
        labels = np.arange(items, dtype=np.int64) % max(classes, 1)
        images = random.integers(0, 60, (items, channels, size, size)) + 60 * labels[:, None, None, None]
        np.save(folder / f"{split}-images.npy", images.astype(np.uint8))
        np.save(folder / f"{split}-labels.npy", labels)
    names = tuple("abcdefgh"[:classes]) if classes <= 8 else tuple(map(str, range(classes)))
    meta = Shards(
        id="x", snapshot="s", size=size, channels=channels, classes=names, train_items=items, holdout_items=items
    )
    (folder / "shards.json").write_text(meta.model_dump_json())
    return open_shards(folder)
