"""What is known of items: how often each was liked, through which channel and in which segment, and which is better."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

REVIEW = "review"

Floats = NDArray[np.float64]
Features = NDArray[np.float32]
Integers = NDArray[np.int64]


def _none() -> Integers:
    return np.zeros(0, np.int64)


def _nothing() -> Floats:
    return np.zeros(0)


@dataclass(frozen=True)
class Evidence:
    """Of N items, M trials and P pairs; it is what the order of its rows makes it, so let items come in one order.

    features: float32 [N, D], in blocks of so many that are of one kind (empty: all are); labels: int64 [N] into
    `classes`, -1 for none. space: names what the features are of.
    rows: int64 [M], of the item that was tried; successes, weights: float64 [M], how often it was liked, as a share or
    a count, of how many times; channels, segments: int64 [M] into the names, segment -1 for none.
    better, worse: int64 [P], rows of the two; pair_segments: int64 [P]; pair_weights: float64 [P].
    """

    features: Features
    labels: Integers
    rows: Integers = field(default_factory=_none)
    successes: Floats = field(default_factory=_nothing)
    weights: Floats = field(default_factory=_nothing)
    channels: Integers = field(default_factory=_none)
    segments: Integers = field(default_factory=_none)
    better: Integers = field(default_factory=_none)
    worse: Integers = field(default_factory=_none)
    pair_segments: Integers = field(default_factory=_none)
    pair_weights: Floats = field(default_factory=_nothing)
    channel_names: tuple[str, ...] = (REVIEW,)
    segment_names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    blocks: tuple[int, ...] = ()
    space: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError where the arrays do not fit each other."""
        trials = (self.rows, self.successes, self.weights, self.channels, self.segments)
        pairs = (self.better, self.worse, self.pair_segments, self.pair_weights)
        if self.features.ndim != 2 or len(self.labels) != len(self.features):
            raise ValueError("features should be [N, D], and labels [N]")
        if self.blocks and sum(self.blocks) != self.features.shape[1]:
            raise ValueError(f"blocks {self.blocks} should make up {self.features.shape[1]} features")
        if len({len(one) for one in trials}) > 1 or len({len(one) for one in pairs}) > 1:
            raise ValueError("of trials, and of pairs, all should be told")
        for rows, end in (
            (np.concatenate([self.rows, self.better, self.worse]), len(self.features)),
            (self.channels, len(self.channel_names)),
        ):
            if len(rows) and not (rows.min() >= 0 and rows.max() < end):
                raise ValueError(f"there should be no row outside 0 to {end - 1}")
        for names, end in (
            (self.labels, len(self.classes)),
            (np.concatenate([self.segments, self.pair_segments]), len(self.segment_names)),
        ):
            if len(names) and names.max() >= end:
                raise ValueError(f"there should be no name after {end - 1}")

    @property
    def review(self) -> int:
        """The channel of people's verdicts, or -1."""
        return self.channel_names.index(REVIEW) if REVIEW in self.channel_names else -1

    def of_trials(self, kept: NDArray[np.bool_], kept_pairs: NDArray[np.bool_]) -> Evidence:
        """The same items with some of the trials [M] and pairs [P]."""
        return replace(
            self,
            rows=self.rows[kept],
            successes=self.successes[kept],
            weights=self.weights[kept],
            channels=self.channels[kept],
            segments=self.segments[kept],
            better=self.better[kept_pairs],
            worse=self.worse[kept_pairs],
            pair_segments=self.pair_segments[kept_pairs],
            pair_weights=self.pair_weights[kept_pairs],
        )


def settled(evidence: Evidence) -> Evidence:
    """Without what says nothing (weight 0 or not a number, a pair with itself), successes within their weights, and
    the trials of one item, channel and segment added up."""
    weights, successes = evidence.weights, evidence.successes
    told = np.isfinite(weights) & (weights > 0) & np.isfinite(successes)
    apart = (evidence.better != evidence.worse) & np.isfinite(evidence.pair_weights) & (evidence.pair_weights > 0)
    left = evidence.of_trials(told, apart)
    keys = np.stack([left.rows, left.channels, np.maximum(left.segments, -1)], 1)
    unique, which = np.unique(keys, axis=0, return_inverse=True)
    total = np.asarray(np.bincount(which.ravel(), left.weights, len(unique)), np.float64)
    liked = np.bincount(which.ravel(), np.clip(left.successes, 0, left.weights), len(unique))
    return replace(
        left,
        labels=np.maximum(left.labels, -1),
        rows=unique[:, 0],
        successes=np.minimum(liked, total),
        weights=total,
        channels=unique[:, 1],
        segments=unique[:, 2],
        pair_segments=np.maximum(left.pair_segments, -1),
    )
