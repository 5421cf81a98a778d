"""What is known of items into a preference: one model of the whole, and of each segment how it differs from that.

A trial is a binomial count of the logistic model whose logit is an intercept of its channel and a sum of terms; that an
item is better than another one is a trial of the difference of their terms (Bradley and Terry 1952).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.feedback_params import Learning
from pipeline.preference.basis import MOST_CLASSES, Basis, Features, make_basis
from pipeline.preference.evidence import Evidence, settled
from pipeline.preference.laplace import Posterior, Rows, mode, scales, spread
from pipeline.preference.model import Preference, Segment

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

GUESS = 4.0  # variance that a group of terms gives a logit, before anything is known
INTERCEPT = 6.0  # variance of a channel's intercept: chances of 1% to 99%
SCALED = 3000  # rows, evenly, that the scales of the prior are found by
LEAST_OF_SEGMENT = 10.0  # trials, without which nothing is learned of how it differs
APART = (0.03, 0.1, 0.3, 1.0)  # variances of a segment's deviation, as shares of the whole's
SWEEPS = 2  # the whole without how segments differ, these without the whole, and again


@dataclass(frozen=True)
class _Ground:
    """The rows of trials, then of pairs. segments: int64 [T]. terms: how many of the design's columns are no
    intercepts, which stand after them."""

    rows: Rows
    segments: Integers
    terms: int


def learn(evidence: Evidence, background_KD: Features, settings: Learning) -> Preference:
    """background: of training images, float32 [K, D], by which features are centred and scaled; of the items
    themselves where there are none. The same arrays give the same preference, to the bit, on one machine."""
    known = settled(evidence)
    with _one_thread():
        classes = _classes(known)
        basis = make_basis(
            background_KD if len(background_KD) > 1 else known.features,
            known.blocks or (known.features.shape[1],),
            classes,
        )
        return _learned(known, basis, settings)


def _learned(known: Evidence, basis: Basis, settings: Learning) -> Preference:
    ground = _ground(known, basis)
    fixed = np.full(ground.rows.design.shape[1], 1 / INTERCEPT)
    guess = [GUESS] * len(basis.groups)
    variances = scales(_thinned(ground.rows), basis.groups, guess, fixed)
    prior = _prior(fixed, basis.groups, variances)
    whole, own, apart = _in_segments(ground, prior)
    review = max(known.review, 0)
    kept = [*range(basis.size), basis.size + review]
    covariance = spread(whole)[np.ix_(kept, kept)]
    verdicts = float(known.weights[known.channels == known.review].sum())
    return Preference(
        basis=basis,
        mean=whole.mean[kept],
        root=_root(covariance),
        segments={number: Segment(posterior.mean, _root(spread(posterior))) for number, posterior in own.items()},
        deviation=np.sqrt(apart / prior[: basis.size]),
        scales=(*variances, apart),
        segment_names=known.segment_names,
        classes=known.classes,
        channels={name: float(whole.mean[basis.size + i]) for i, name in enumerate(known.channel_names)},
        space=known.space,
        verdicts=verdicts,
        trusted=verdicts >= settings.least,
    )


def _classes(known: Evidence) -> Integers:
    """Those that get terms of their own: all, or those that were tried most."""
    count = len(known.classes)
    if count <= MOST_CLASSES:
        return np.arange(count)
    labels = known.labels[known.rows]
    tried = np.bincount(labels[labels >= 0], known.weights[labels >= 0], count)
    return np.sort(np.argsort(-tried, kind="stable")[:MOST_CLASSES])


def _ground(known: Evidence, basis: Basis) -> _Ground:
    terms = basis.of(known.features, known.labels)
    trials, pairs, channels = len(known.rows), len(known.better), len(known.channel_names)
    design = np.zeros((trials + pairs, basis.size + channels))
    design[:trials, : basis.size] = terms[known.rows]
    design[np.arange(trials), basis.size + known.channels] = 1
    design[trials:, : basis.size] = terms[known.better] - terms[known.worse]
    weights = np.concatenate([known.weights, known.pair_weights])
    successes = np.concatenate([known.successes, known.pair_weights])
    segments = np.concatenate([known.segments, known.pair_segments])
    return _Ground(Rows(design, successes, weights, np.zeros(len(weights))), segments, basis.size)


def _in_segments(ground: _Ground, prior: Floats) -> tuple[Posterior, Mapping[int, Posterior], float]:
    """The whole, how each segment differs, and the variance of that as a share of the whole's: the greatest evidence's.

    By backfitting: the two are found in turns, each with the other as a given, so that a segment of few trials stays
    with the whole, and no number of segments makes the problem larger.
    """
    rows, terms = ground.rows, ground.terms
    numbers, which = np.unique(ground.segments, return_inverse=True)
    trials = np.bincount(which, rows.weights, len(numbers))
    learned = [int(n) for n, of in zip(numbers, trials, strict=True) if n >= 0 and of >= LEAST_OF_SEGMENT]
    whole = mode(rows, prior)
    own: dict[int, Posterior] = {}
    apart = APART[1]
    for sweep in range(SWEEPS if learned else 0):
        logits = rows.design @ whole.mean
        tried = (apart,) if sweep else APART
        fits = {share: _deviations(ground, logits, prior[:terms] / share, learned) for share in tried}
        apart = max(fits, key=lambda share: sum(one.evidence for one in fits[share].values()))
        own = fits[apart]
        offset = np.zeros(len(rows.weights))
        for number, posterior in own.items():
            at = ground.segments == number
            offset[at] = rows.design[at, :terms] @ posterior.mean
        whole = mode(Rows(rows.design, rows.successes, rows.weights, offset), prior, whole.mean)
    return whole, own, apart


def _deviations(ground: _Ground, logits: Floats, prior: Floats, learned: Sequence[int]) -> dict[int, Posterior]:
    rows, found = ground.rows, {}
    for number in learned:
        at = ground.segments == number
        design = rows.design[at, : ground.terms]
        found[number] = mode(Rows(design, rows.successes[at], rows.weights[at], logits[at]), prior)
    return found


def _prior(fixed: Floats, groups: Sequence[slice], variances: Sequence[float]) -> Floats:
    prior = fixed.copy()
    for group, variance in zip(groups, variances, strict=True):
        prior[group] = 1 / variance
    return prior


def _thinned(rows: Rows) -> Rows:
    some = np.arange(len(rows.weights))[:: -(-len(rows.weights) // SCALED) or 1]
    return Rows(rows.design[some], rows.successes[some], rows.weights[some], rows.offset[some])


def _root(covariance: Floats) -> NDArray[np.float32]:
    """L of covariance = L L^T, so that no variance is ever below 0."""
    found: NDArray[np.float32] = np.linalg.cholesky((covariance + covariance.T) / 2).astype(np.float32)
    return found


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums are added in one order."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield
