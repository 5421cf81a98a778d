"""How many items of each class are made: as was asked, by how often they are accepted, and still exploring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WORTH = 1.0  # verdicts, that the whole counts as for a class of which nothing is known, and a class for its segments
EVEN = 1.0  # of each kind, that the whole itself begins with


@dataclass(frozen=True)
class Tallies:
    """Of each of C classes: what was judged and of that accepted, float64 [C], of items that were taken without
    preference: in a control arm, or before there was one."""

    accepted: Floats
    judged: Floats


def tallies_of(labels: NDArray[np.int64], accepted: Floats, classes: int) -> Tallies:
    """labels: int64 [N]; accepted: float64 [N] in [0, 1], of items taken at random.

    Not of what was chosen by preference, counted by its odds: one accepted item of odds of 1 in 1,000 then outweighs
    all others, and its class's share is known less well for it.
    """
    known = (labels >= 0) & (labels < classes) & np.isfinite(accepted)
    judged = np.bincount(labels[known], minlength=classes).astype(np.float64)
    yes = np.bincount(labels[known], accepted[known], classes).astype(np.float64)
    return Tallies(yes, judged)


def thompson(asked: Floats, tallies: Tallies, starve: float, seed: int, segment: Tallies | None = None) -> Floats:
    """Shares of the classes, float64 [C], that add up to 1: each as it was asked times one draw of what its accepted
    share may be (Thompson 1933), but no less than `starve` of what was asked.

    The share's distribution is a Beta, shrunk to that of all classes; in a segment to the class's in all of them.
    """
    clean = np.where(np.isfinite(asked) & (asked > 0), asked, 0.0)
    if not clean.sum() > 0:
        raise ValueError("something should be asked")
    shares = clean / clean.sum()
    yes, no = beliefs(tallies)
    if segment is not None:
        accepted, judged = _sane(segment)
        centre = yes / (yes + no)
        worth = np.minimum(yes + no, WORTH)
        yes, no = accepted + worth * centre, judged - accepted + worth * (1 - centre)
    drawn = np.random.Generator(np.random.Philox(seed)).beta(yes, no)
    return _floored(shares, shares * np.maximum(drawn, 1e-12), starve)


def beside_control(asked: Floats, mix: Floats, holdout: float) -> tuple[Floats, Floats]:
    """Of a batch whose control arm has the classes as they were asked, and the rest as the mix has them: the shares of
    the classes, and of each class's places those of the control arm, float64 [C]."""
    shares = asked / asked.sum()
    whole = (1 - holdout) * mix + holdout * shares
    return whole, np.divide(holdout * shares, whole, out=np.zeros(len(whole)), where=whole > 0)


def beliefs(tallies: Tallies) -> tuple[Floats, Floats]:
    """The two parameters of each class's Beta distribution, float64 [C]."""
    accepted, judged = _sane(tallies)
    centre = (accepted.sum() + EVEN) / (judged.sum() + 2 * EVEN)
    return accepted + WORTH * centre, judged - accepted + WORTH * (1 - centre)


def _floored(shares: Floats, weights: Floats, starve: float) -> Floats:
    """weights as shares; those below their floor are raised to it, and the others share what is left."""
    floor, held = starve * shares, np.zeros(len(shares), bool)
    while True:
        left = 1 - float(floor[held].sum())
        total = float(weights[~held].sum())
        found = np.where(held, floor, weights * (left / total) if total > 0 else floor)
        below = ~held & (found < floor)
        if not below.any():
            return np.asarray(found / found.sum())
        held |= below


def _sane(tallies: Tallies) -> tuple[Floats, Floats]:
    judged = np.maximum(np.nan_to_num(tallies.judged, nan=0.0, posinf=0.0), 0.0)
    return np.clip(np.nan_to_num(tallies.accepted, nan=0.0, posinf=0.0), 0.0, judged), judged
