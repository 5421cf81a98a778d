"""Shards on disk that train in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.shards import ShardsReader, content_id, open_shards
from pipeline.values import Shards

Images, Labels = NDArray[np.uint8], NDArray[np.int64]


def small_shards(folder: Path, size: int = 16, channels: int = 1, classes: int = 3, items: int = 200) -> ShardsReader:
    """Class by class, images of one brightness each, with noise; train and holdout of as many items."""
    random = np.random.default_rng(0)
    labels = np.arange(items, dtype=np.int64) % max(classes, 1)
    images = [
        (random.integers(0, 60, (items, channels, size, size)) + 60 * labels[:, None, None, None]).astype(np.uint8)
        for _ in range(2)
    ]
    names = tuple("abcdefgh"[:classes]) if classes <= 8 else tuple(map(str, range(classes)))
    return shards_of(folder, images[0], labels, images[1], labels, names)


def shards_of(
    folder: Path, train: Images, train_labels: Labels, holdout: Images, holdout_labels: Labels, classes: tuple[str, ...]
) -> ShardsReader:
    folder.mkdir(parents=True)
    for split, images, labels in (("train", train, train_labels), ("holdout", holdout, holdout_labels)):
        np.save(folder / f"{split}-images.npy", images)
        np.save(folder / f"{split}-labels.npy", labels)
    _, channels, size, _ = train.shape
    meta = Shards(
        id=content_id([train, train_labels, holdout, holdout_labels], "\n".join(classes)),
        snapshot="s",
        size=size,
        channels=channels,
        classes=classes,
        train_items=len(train),
        holdout_items=len(holdout),
    )
    (folder / "shards.json").write_text(meta.model_dump_json())
    return open_shards(folder)
