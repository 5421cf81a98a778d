"""Which of a class's candidates are taken: likelier ones with greater odds, spread over what there is, odds exact.

M: candidates that may be taken; K: places for them; D: features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.feedback_params import Adapting

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

UNIT = 2**40  # odds are whole numbers of its parts, so that they add up to K exactly
AXES = 8  # on which candidates are spread
PREFERRED, CONTROL = 0, 1  # streams of a seed
ROUNDING = 2  # another one


@dataclass(frozen=True)
class Taken:
    """rows: int64 [K] of the candidates, ascending; odds: float64 [K], that each had within its arm; control: bool
    [K], whether it was taken without preference."""

    rows: Integers
    odds: Floats
    control: Flags


def taken(
    chances: Floats,
    features_MD: NDArray[np.float32],
    seeds: Integers,
    places: int,
    settings: Adapting,
    seed: int,
    without: float | None = None,
) -> Taken:
    """Of candidates with these chances of being accepted and seeds of their own, as many as there are places, or all.

    A share of candidates by their seeds, settings.holdout, is the control arm. without: its share of the places, the
    same if not given (see mix.beside_control). Where one arm has too few candidates, the other one has its places.
    seed: of this draw, so of each class and part another one.
    """
    control = in_control(seeds, settings.holdout)
    count = min(places, len(chances))
    asked = _rounded((settings.holdout if without is None else without) * count, seed)
    unliked = int(np.clip(asked, count - (~control).sum(), control.sum()))
    preferred_rows, control_rows = np.flatnonzero(~control), np.flatnonzero(control)
    liked, liked_odds = chosen(
        chances[preferred_rows],
        features_MD[preferred_rows],
        count - unliked,
        settings.sharpness,
        settings.explore,
        seed,
    )
    any_, any_odds = at_random(len(control_rows), unliked, seed)
    rows = np.concatenate([preferred_rows[liked], control_rows[any_]])
    order = np.argsort(rows)
    arms = np.arange(len(rows)) >= len(liked)
    return Taken(rows[order], np.concatenate([liked_odds, any_odds])[order], arms[order])


def chosen(
    chances: Floats, features_MD: NDArray[np.float32], places: int, sharpness: float, explore: float, seed: int
) -> tuple[Integers, Floats]:
    """Rows, int64 [K] ascending, and the odds that each had, float64 [K] in (0, 1]: a systematic sample with odds in
    proportion to size (Madow 1949), along a path through the features. Where there are no more than K, all."""
    units = inclusion(chances, places, sharpness, explore)
    order = path(features_MD)
    ends = np.cumsum(units[order])
    start = int(_stream(seed, PREFERRED).integers(UNIT))
    ticks = start + UNIT * np.arange(min(places, len(chances)), dtype=np.int64)
    rows = np.sort(order[np.searchsorted(ends, ticks, side="right")])
    return rows, units[rows] / UNIT


def at_random(candidates: int, places: int, seed: int) -> tuple[Integers, Floats]:
    """Rows, ascending, and odds, of a sample in which all have the same odds."""
    count = min(places, candidates)
    rows = np.sort(_stream(seed, CONTROL).permutation(candidates)[:count])
    return rows, np.full(count, count / max(1, candidates))


def inclusion(chances: Floats, places: int, sharpness: float, explore: float) -> Integers:
    """int64 [M]: the odds of each, in units. A share of `explore` of them all have alike; the others go by the chances
    to the power of sharpness, where those that would be above 1 are taken for sure and the rest share what is left.
    They add up to K."""
    count = len(chances)
    if places >= count:
        return np.full(count, UNIT)
    sure = np.clip(np.nan_to_num(chances, nan=0.0), 0, 1)
    weights = (sure / max(sure.max(), 1e-300)) ** sharpness
    odds = (1 - explore) * _proportional(weights, places) + explore * places / count
    units: Integers = np.floor(np.minimum(odds, 1) * UNIT).astype(np.int64)
    lost = places * UNIT - int(units.sum())
    units[units.argmin() if lost > 0 else units.argmax()] += lost  # by rounding; the least has room for it
    return units


def _proportional(weights: Floats, places: int) -> Floats:
    """Odds in proportion to the weights, of at most 1, that add up to the places."""
    odds = np.ones(len(weights))
    order = np.argsort(-weights, kind="stable")
    behind = np.cumsum(weights[order][::-1])[::-1]  # the weight of each and all after it
    left = places - np.arange(len(weights))
    sure = int(np.argmin((left > 0) & (weights[order] * left >= behind) & (behind > 0)))
    rest = order[sure:]
    total = float(weights[rest].sum())
    odds[rest] = (places - sure) * (weights[rest] / total if total > 0 else np.full(len(rest), 1 / len(rest)))
    return odds


def path(features_MD: NDArray[np.float32]) -> Integers:
    """int64 [M]: an order in which neighbours are alike: halves by the axis that varies most, and halves of these."""
    places = _on_axes(features_MD)
    count, axes = places.shape
    order = np.arange(count)
    if not axes or count < 3:
        return order
    edges = np.array([0, count])
    while (np.diff(edges) > 2).any():
        sizes = np.diff(edges)
        group = np.arange(len(sizes)).repeat(sizes)
        some = places[order]
        means = np.add.reduceat(some, edges[:-1]) / sizes[:, None]
        spread = np.add.reduceat(np.square(some - means[group]), edges[:-1])
        along = some[np.arange(count), spread.argmax(1)[group]]
        order = order[np.lexsort((along, group))]
        edges = np.unique(np.concatenate([edges, edges[:-1] + (sizes + 1) // 2]))
    return order


def in_control(seeds: Integers, share: float) -> Flags:
    """bool [M]: whether a candidate is of the control arm, by a hash of its seed (the finaliser of SplitMix64, Steele
    et al. 2014)."""
    x = seeds.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: Flags = ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) < share * 2.0**53
    return found


def _on_axes(features_MD: NDArray[np.float32]) -> Floats:
    """float64 [M, up to 8]: on the principal axes, none where nothing varies."""
    found = np.asarray(features_MD, np.float64)
    found = np.where(np.isfinite(found), found, 0.0)
    scale = float(np.abs(found).max(initial=0.0))
    if scale == 0 or len(found) < 2:
        return np.zeros((len(found), 0))
    found = found / scale
    found = found - found.mean(0)
    values, vectors = np.linalg.eigh(found.T @ found)
    return np.asarray(found @ vectors[:, np.argsort(-values)[:AXES]])


def _rounded(number: float, seed: int) -> int:
    """Up or down by chance, so that it is right on average."""
    return int(number + _stream(seed, ROUNDING).random())


def _stream(seed: int, use: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, use])))
