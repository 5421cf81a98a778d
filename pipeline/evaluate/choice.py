"""The judge among snapshots of a training: their distance from the half of the holdout that is not reported on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.features import PROTOCOL, classifier_id, features
from pipeline.evaluate.metrics import frechet, gaussian, spread
from pipeline.evaluate.space import HOLDOUT, Progress, Sampler, ShardsReader, halves, kept_classifier, kept_features
from pipeline.files import sha256_json
from pipeline.lessons import drawn
from pipeline.settings import Evaluate

LEAST = 64  # images to choose on; with fewer the last snapshot is as good a choice
MOST = 5000


def held_out_rows(items: int, settings: Evaluate) -> NDArray[np.int64] | None:
    """Rows of a holdout of so many items to choose on, or None where they are too few."""
    chosen, _ = halves(items, settings)
    return np.sort(chosen[:MOST]) if len(chosen) >= LEAST else None


def judged_by(settings: Evaluate) -> str:
    """All of the settings that decides rows and judge."""
    return sha256_json([settings.chosen_on, settings.classifier_steps, settings.seed, PROTOCOL])


def judge_of(
    settings: Evaluate,
    shards: ShardsReader,
    rows: NDArray[np.int64],
    cache: Path,
    tell: Progress,
    weights: NDArray[np.float64] | None = None,
) -> Callable[[Sampler], float]:
    """nFD, in percent, of as many samples as there are rows, always of the same seeds; lower is better.

    weights float64 [H]: how much each image of the holdout counts; a training that is steered is judged by what it is
    steered to. Always in the space of the dataset's own classifier: an encoder from outside would cost more than the
    training.
    """
    net = kept_classifier(settings, shards, cache, tell)
    kept = cache / classifier_id(shards.meta.id, settings) / HOLDOUT
    if weights is not None:
        ideal = weights[rows] * (len(rows) / weights[rows].sum())
        rows = rows[drawn(ideal, np.random.Generator(np.random.Philox(settings.seed)))]
    real = gaussian(kept_features(partial(features, net), shards.holdout_images, kept)[rows])
    labels = np.asarray(shards.holdout_labels)[rows]
    seeds = np.random.Generator(np.random.Philox(settings.seed)).integers(0, 2**63 - 1, len(rows), np.int64)

    def judge(sampler: Sampler) -> float:
        return 100 * frechet(real, gaussian(features(net, sampler(labels, seeds)))) / spread(real)

    return judge
