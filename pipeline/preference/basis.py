"""In which terms a liking is told: principal axes of each block of features, classes, and axes within each class.

N: items; D: features; q: axes of all blocks; m: terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Features = NDArray[np.float32]

MOST_AXES = 32  # of a block
MOST_CLASSES = 512  # with a term of their own
WITHIN, MOST_WITHIN = 8, 400  # axes of each block that count within a class too; terms of that kind in all
FITTED = 10_000  # rows of the background that axes are found by
LEAST = 1e-9  # of the largest variance; axes below have none
POWER = 0.25
"""Of the variance that an axis is scaled up by: -0.5 makes all alike, 0 leaves them. What people like goes mostly by
what varies much: of -0.25, 0, 0.25 and 0.5, 0.25 told best by 200 and 800 ratings for each of four hidden tastes."""
FAR = 6.0  # times the root mean square of a background item's length; nothing lies farther out


@dataclass(frozen=True)
class Basis:
    """mean: [D]; axes: [D, q]; widths: axes of each block; within: [w], which of the axes count within classes too;
    classes: int64 [C], those with terms. Over the background the axes of a block have a mean square length of 1."""

    mean: Floats
    axes: Floats
    widths: tuple[int, ...]
    within: Integers
    classes: Integers

    @property
    def groups(self) -> tuple[slice, ...]:
        """The terms of each block, of the classes, and of axes within classes."""
        edges = np.cumsum([0, *self.widths, len(self.classes), len(self.within) * len(self.classes)])
        return tuple(slice(start, end) for start, end in pairwise(edges.tolist()))

    @property
    def size(self) -> int:
        return int(self.groups[-1].stop)

    def of(self, features_ND: NDArray[np.float32], labels: Integers) -> Floats:
        """float64 [N, m]. Features that are no numbers count as the background's mean; other labels as none."""
        places = np.clip(_centred(features_ND, self.mean) @ self.axes, -FAR, FAR)
        known = (labels[:, None] == self.classes).astype(np.float64)
        crossed = known[:, :, None] * places[:, None, self.within]
        return np.hstack([places, known, crossed.reshape(len(places), -1)])


def make_basis(background_KD: NDArray[np.float32], blocks: Sequence[int], classes: Integers) -> Basis:
    """blocks: how many features each block has, in order. Of few or constant items it has few terms or none."""
    some = np.asarray(background_KD)[:: max(1, len(background_KD) // FITTED)]
    finite = np.isfinite(some)
    mean = np.where(finite, some, 0).sum(0, dtype=np.float64) / np.maximum(finite.sum(0), 1)
    whole = _centred(some, mean)
    ends = np.cumsum(blocks, dtype=np.int64)
    parts = [_axes(whole[:, end - width : end]) for end, width in zip(ends, blocks, strict=True)]
    axes = np.zeros((whole.shape[1], sum(part.shape[1] for part in parts)))
    column = 0
    for part, end, width in zip(parts, ends, blocks, strict=True):
        axes[end - width : end, column : column + part.shape[1]] = part
        column += part.shape[1]
    widths = tuple(part.shape[1] for part in parts)
    return Basis(mean, axes, widths, _within(widths, len(classes)), classes)


def _axes(block_KD: Floats) -> Floats:
    """[D, q], the leading axes first, scaled so that the mean square length of an item on them is 1."""
    scale = float(np.abs(block_KD).max(initial=0.0))
    if scale == 0:
        return np.zeros((block_KD.shape[1], 0))
    block = block_KD / scale
    values, vectors = np.linalg.eigh(block.T @ block / len(block))
    order = np.argsort(-values)[:MOST_AXES]
    values, vectors = values[order], vectors[:, order]
    kept = values > LEAST * values[0]
    values, vectors = values[kept], vectors[:, kept]
    scales = values**POWER
    found: Floats = vectors * scales / np.sqrt((values * scales**2).sum()) / scale
    return found


def _within(widths: Sequence[int], classes: int) -> Integers:
    each = min(WITHIN, MOST_WITHIN // max(1, classes * len(widths)))
    starts = np.cumsum([0, *widths])
    found = [np.arange(start, start + min(each, width)) for start, width in zip(starts, widths, strict=False)]
    return np.concatenate([np.zeros(0, np.int64), *found]) if classes > 1 else np.zeros(0, np.int64)


def _centred(features: NDArray[np.float32], mean: Floats) -> Floats:
    found = np.asarray(features, np.float64) - mean
    return np.where(np.isfinite(found), found, 0.0)
