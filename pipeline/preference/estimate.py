"""What share would have been accepted had items been taken at random, and what the preference gains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.intervals import Interval, Z
from pipeline.reviews import Tally
from pipeline.values import Value

Floats = NDArray[np.float64]


class Estimate(Value):
    """A share with its 95% interval. items: what it is of; worth: how many taken at random would tell as much."""

    share: float
    low: float
    high: float
    items: int
    worth: float


class Uplift(Value):
    """How much more is accepted in one arm than in the other, with its 95% interval: a difference of shares."""

    difference: float
    low: float
    high: float
    preferred: Tally
    control: Tally


def at_random(accepted: Floats, odds: Floats) -> Estimate | None:
    """accepted: float64 [N] in [0, 1]; odds: float64 [N] in (0, 1], with which each was taken. None without items.

    Each counts as often as its odds say that there were like it (Horvitz and Thompson 1952), over their own sum (Hajek
    1971). The interval is Wilson's of as many items as give the linearised variance of that ratio, and of Kish's
    number where all say the same.
    """
    told = np.isfinite(accepted) & np.isfinite(odds) & (odds > 0)
    if not told.any():
        return None
    y, weights = np.clip(accepted[told], 0, 1), 1 / np.minimum(odds[told], 1.0)
    share = float(weights @ y / weights.sum())
    kish = float(weights.sum() ** 2 / np.square(weights).sum())
    n = len(y)
    variance = float(np.square(weights * (y - share)).sum() / weights.sum() ** 2) * n / max(1, n - 1)
    worth = min(float(n), share * (1 - share) / variance if variance > 0 else kish)
    low, high = wilson_of(share, worth)
    return Estimate(share=share, low=low, high=high, items=n, worth=worth)


def uplift(preferred: Tally, control: Tally) -> Uplift | None:
    """By the hybrid score interval (Newcombe 1998, "Interval estimation for the difference between independent
    proportions", method 10). None where an arm has no verdict."""
    if preferred.share is None or control.share is None:
        return None
    p, c = preferred.share, control.share
    (p_low, p_high), (c_low, c_high) = (wilson_of(t.accepted / t.judged, t.judged) for t in (preferred, control))
    below, above = np.hypot(p - p_low, c_high - c), np.hypot(p_high - p, c - c_low)
    return Uplift(
        difference=p - c, low=float(p - c - below), high=float(p - c + above), preferred=preferred, control=control
    )


def wilson_of(share: float, count: float) -> Interval:
    """Wilson's interval of a share of so many, which need not be a whole number."""
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
