"""Does the model copy its training images? Three answers from distances to the nearest of them.

M training images, N samples, K held-out images, D: how long each feature vector is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pipeline.evaluate.metrics import Array, Floats, nearest

Integers = NDArray[np.int64]

QUANTILE = 0.01
AUTHENTICITY_SAMPLES = 2000
LEAST_IN_CELL = 10


@dataclass(frozen=True)
class Nearest:
    """Distance to, and row of, the nearest training image of each item."""

    distance: Floats
    row: Integers


def nearest_training(items_ND: Array, train_MD: Array, own_N: Integers | None = None) -> Nearest:
    """own_N: the row of train that each item is, to be passed over (for the floor, whose items are real)."""
    return Nearest(*nearest(items_ND, train_MD, own_N))


def memorised(samples: Nearest, holdout: Nearest) -> NDArray[np.bool_]:
    """[N]: nearer to a training image than all but 1% of held-out images are; a share of 0.01 is expected."""
    return samples.distance <= np.quantile(holdout.distance, QUANTILE)


def copying_score(samples: Nearest, holdout: Nearest, cells: Integers) -> float:
    """C_T (Meehan et al. 2020, section 3.2): a z-score, well below 0 where samples lie nearer to training images
    than held-out ones do; around 0 where they lie alike.

    The Mann-Whitney statistic of both sets of distances in each cell, averaged by the cell's share of the holdout.
    cells [M]: a training image's cell; an item stands in that of its nearest.
    """
    scores, shares = [], []
    ours, theirs = cells[samples.row], cells[holdout.row]
    for cell in np.unique(theirs):
        made, held = samples.distance[ours == cell], holdout.distance[theirs == cell]
        if min(len(made), len(held)) >= LEAST_IN_CELL:
            scores.append(_mann_whitney(made, held))
            shares.append(len(held))
    return float(np.average(scores, weights=shares)) if scores else 0.0


def _mann_whitney(a: Floats, b: Floats) -> float:
    """The z-score of how often one of a is larger than one of b."""
    n, m = len(a), len(b)
    u = rankdata(np.concatenate([a, b]))[:n].sum() - n * (n + 1) / 2
    return float((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))


def authenticity(samples: Nearest, train_MD: Array) -> float:
    """Share of samples that are farther from their training image than its nearest other training image is.

    Alaa et al. 2022, section 4.3; of the first 2,000 samples, since each costs a search among the training images.
    """
    distance, row = samples.distance[:AUTHENTICITY_SAMPLES], samples.row[:AUTHENTICITY_SAMPLES]
    rows, back = np.unique(row, return_inverse=True)
    apart, _ = nearest(np.asarray(train_MD)[rows], train_MD, rows)
    return float(np.mean(distance > apart[back]))
