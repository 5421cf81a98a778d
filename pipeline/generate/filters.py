"""Which candidates may be delivered, and why the others not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.alike import SIDE, Looks
from pipeline.generate.policies import Items, Policy
from pipeline.generate.screen import Screen
from pipeline.media.measures import looks
from pipeline.orders import Filters

COPY, LOOKS_TRAINED = "too near to a training image", "looks like a training image"
ODD, UNSURE = "unlike any training image", "not clearly of its class"
REPEAT = "looks like another item of the batch"


@dataclass(frozen=True)
class Verdicts:
    """Of each of N candidates: why it is dropped, or empty; what the screen measured, its features, float32 [N, D];
    and how it looks, uint8 [N, 16, 16]."""

    reasons: NDArray[np.object_]
    distances: NDArray[np.float32]
    confidences: NDArray[np.float32]
    areas: NDArray[np.uint8]
    features: NDArray[np.float32] | None

    @property
    def good(self) -> NDArray[np.bool_]:
        return np.array([not reason for reason in self.reasons], bool)


def judge(
    filters: Filters,
    varied: bool,
    screen: Screen | None,
    policies: Sequence[Policy],
    images_NCHW: NDArray[np.uint8],
    labels: NDArray[np.int64],
    seeds: NDArray[np.int64],
    classes: Sequence[str],
) -> Verdicts:
    """The first reason counts. Of near-copies of each other the first good one stays.

    varied: they are variations of one item, which are to be like each other, and may lie between classes.
    """
    count = len(labels)
    reasons = np.full(count, "", object)
    distances, confidences = np.full(count, np.nan, np.float32), np.full(count, np.nan, np.float32)
    features = None
    if screen is not None:
        judged = screen.judge(images_NCHW, labels, filters.copies)
        features, distances, confidences = judged.features, judged.distances, judged.confidences
        _drop(reasons, judged.too_near, COPY)
        if filters.alike:
            _drop(reasons, judged.copies, LOOKS_TRAINED)
        _drop(reasons, distances > screen.farthest(filters.odd), ODD)
        if not varied:
            _drop(reasons, confidences < filters.confidence, UNSURE)
    names = tuple(classes[label] if classes else None for label in labels)
    for policy in policies:
        for row, reason in enumerate(policy(Items(images_NCHW, names, seeds))):
            if reason and not reasons[row]:
                reasons[row] = reason
    areas = looks(images_NCHW, SIDE)
    if filters.alike and not varied:
        left = np.flatnonzero([not reason for reason in reasons])
        reasons[left[Looks(areas[left]).repeats()]] = REPEAT
    return Verdicts(reasons, distances, confidences, areas, features)


def _drop(reasons: NDArray[np.object_], which: NDArray[np.bool_], why: str) -> None:
    reasons[which & np.array([not reason for reason in reasons], bool)] = why
