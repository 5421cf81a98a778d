"""The pictures of an evaluation: samples, walks between them, and those that are farthest from anything real."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pipeline.evaluate.pictures import COLUMNS, comparison, sheet_of
from pipeline.evaluate.space import ShardsReader
from pipeline.evaluate.step import Evaluated
from pipeline.model.bundle import Bundle
from pipeline.model.noise import item_seeds
from pipeline.model.recipe import walk

WALKS = 8
FAILURES = 2  # rows of COLUMNS


def sheets(judged: Evaluated, shards: ShardsReader, bundle: Bundle) -> dict[str, Image.Image]:
    """By name: `samples`, `walks` and `failures`."""
    return {
        "samples": comparison(
            judged.samples,
            judged.labels,
            judged.nearest.row,
            shards.train_images,
            shards.holdout_images,
            shards.meta.classes,
            f"model {judged.scorecard.model} on snapshot {shards.meta.snapshot}",
        ),
        "walks": _walks(bundle),
        "failures": _failures(judged, shards),
    }


def _walks(bundle: Bundle) -> Image.Image:
    """From one sample to another of its class, a row a class."""
    labels = np.arange(WALKS, dtype=np.int64) % max(1, len(bundle.classes))
    seeds = item_seeds(0, np.arange(2 * WALKS, dtype=np.int64))
    images = bundle.make(walk(labels, seeds[:WALKS], seeds[WALKS:], COLUMNS))
    return sheet_of(list(images.reshape(WALKS, COLUMNS, *images.shape[1:])))


def _failures(judged: Evaluated, shards: ShardsReader) -> Image.Image:
    """The samples that are farthest from any training image, and beneath each the nearest one."""
    worst = np.argsort(-judged.nearest.distance, kind="stable")[: FAILURES * COLUMNS]
    rows = []
    for start in range(0, len(worst), COLUMNS):
        some = worst[start : start + COLUMNS]
        rows += [judged.samples[some], shards.train_images[judged.nearest.row[some]]]
    return sheet_of(rows, ["Farthest from any training image", "Nearest training image"] * (len(rows) // 2))
