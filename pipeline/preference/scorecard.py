"""How good a preference is, by items that it was not learned from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.intervals import Interval, Z
from pipeline.feedback_params import Learning
from pipeline.preference.basis import Features
from pipeline.preference.evidence import Evidence, settled
from pipeline.preference.learn import learn
from pipeline.values import Value

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FOLDS = 5
LEAST, LEAST_OF_SEGMENT = 20, 50  # items
MOST_BINS, OF_BIN = 10, 20
MOST = 5000  # items that are judged, evenly; a model of a fold is learned from at most so many


class PreferenceCard(Value):
    """Of items in the review channel, each judged by a model that saw nothing of it (5 folds).

    accepted: more liked than not. metrics: auc; brier, log_loss (in nats) and log_loss_base, that of the share of the
    other folds; calibration, the mean difference of chance and share in `bins` bins of as many items. intervals: 95%,
    of the AUC. What can't be told of so few, or where all say the same, is left out.
    """

    items: int
    accepted: int
    bins: int
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval] = {}
    segments: Mapping[str, PreferenceCard] = {}


def scorecard(evidence: Evidence, background_KD: Features, settings: Learning) -> PreferenceCard:
    """The pairs of an item, and its trials in all channels, are held out with it."""
    known = settled(evidence)
    rows = np.unique(known.rows[known.channels == known.review])
    rows = rows[:: -(-len(rows) // MOST) or 1]
    if len(rows) < LEAST:
        return PreferenceCard(items=len(rows), accepted=0, bins=0, metrics={})
    told = [_held_out(known, background_KD, settings, rows, fold) for fold in _folds(len(rows), settings.seed)]
    trials, chances, bases = (np.concatenate(parts) for parts in zip(*told, strict=True))
    trials = trials.astype(np.int64)
    liked, weights = known.successes[trials] / known.weights[trials], known.weights[trials]
    found = _card(known.rows[trials], liked, weights, chances, bases)
    segments = {}
    for number, name in enumerate(known.segment_names):
        of = known.segments[trials] == number
        if len(np.unique(known.rows[trials][of])) >= LEAST_OF_SEGMENT:
            segments[name] = _card(known.rows[trials][of], liked[of], weights[of], chances[of], bases[of])
    return found.model_copy(update={"segments": segments})


def auc(liked: NDArray[np.bool_], chances: Floats) -> tuple[float, Interval] | None:
    """How often an accepted item has the greater chance than one that is not, and its interval by the variance of the
    placements (DeLong et al. 1988), on the logit's scale. None where all are alike."""
    from scipy.stats import rankdata

    yes, no = chances[liked], chances[~liked]
    if min(len(yes), len(no)) < 2:
        return None
    ranks = rankdata(np.concatenate([yes, no]))
    above = (ranks[: len(yes)] - rankdata(yes)) / len(no)
    below = 1 - (ranks[len(yes) :] - rankdata(no)) / len(yes)
    value = float(above.mean())
    error = float(np.sqrt(above.var(ddof=1) / len(yes) + below.var(ddof=1) / len(no)))
    if not 0 < value < 1 or error == 0:
        return value, (value, value)
    half = Z * error / (value * (1 - value))
    odds = value / (1 - value)
    low, high = (odds * np.exp(sign * min(half, 50.0)) for sign in (-1, 1))
    return value, (float(low / (1 + low)), float(high / (1 + high)))


def calibration(liked: Floats, chances: Floats) -> tuple[float, int]:
    """The mean difference between what was told and what came, and of how many bins of as many items."""
    bins = max(1, min(MOST_BINS, len(liked) // OF_BIN))
    parts = np.array_split(np.argsort(chances, kind="stable"), bins)
    off = [len(part) * abs(float(chances[part].mean() - liked[part].mean())) for part in parts]
    return sum(off) / len(liked), bins


def _folds(items: int, seed: int) -> Iterator[Integers]:
    order = np.random.Generator(np.random.Philox(seed)).permutation(items)
    return iter(np.array_split(order, FOLDS))


def _held_out(
    known: Evidence, background: Features, settings: Learning, rows: Integers, fold: Integers
) -> tuple[Integers, Floats, Floats]:
    """Of the review trials of the fold's items: which they are, their chances, and the others' share."""
    out = np.zeros(len(known.features), bool)
    out[rows[fold]] = True
    judged = np.zeros(len(known.features), bool)
    judged[rows] = True
    in_review = known.channels == known.review
    kept = ~out[known.rows] & (judged[known.rows] | ~in_review)
    model = learn(known.of_trials(kept, ~out[known.better] & ~out[known.worse]), background, settings)
    trials = np.flatnonzero(out[known.rows] & in_review)
    chances = np.empty(len(trials))
    for segment in np.unique(known.segments[trials]):
        of = known.segments[trials] == segment
        items = known.rows[trials[of]]
        chances[of] = model.predict(known.features[items], known.labels[items], int(segment))[0]
    others = kept & in_review
    base = (known.successes[others].sum() + 0.5) / (known.weights[others].sum() + 1)
    return trials, chances, np.full(len(trials), base)


def _card(rows: Integers, liked: Floats, weights: Floats, chances: Floats, bases: Floats) -> PreferenceCard:
    """Of trials; an item of several of them is one item, by their weighted mean."""
    _, which = np.unique(rows, return_inverse=True)
    total = np.bincount(which, weights)
    share, chance = (np.bincount(which, weights * one) / total for one in (liked, chances))
    metrics = {
        "brier": float(np.mean(np.square(share - chance))),
        "log_loss": _log_loss(share, chance),
        "log_loss_base": _log_loss(share, np.bincount(which, weights * bases) / total),
    }
    metrics["calibration"], bins = calibration(share, chance)
    intervals = {}
    decided = share != 0.5
    if found := auc(share[decided] > 0.5, chance[decided]):
        metrics["auc"], intervals["auc"] = found
    return PreferenceCard(
        items=len(share), accepted=int((share > 0.5).sum()), bins=bins, metrics=metrics, intervals=intervals
    )


def _log_loss(share: Floats, chance: Floats) -> float:
    safe = np.clip(chance, 1e-12, 1 - 1e-12)
    return float(-np.mean(share * np.log(safe) + (1 - share) * np.log1p(-safe)))
