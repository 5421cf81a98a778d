"""How sure a metric is: 95% intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
BLOCKS = 10
LEAST = 2 * BLOCKS  # items, for the jackknife
Z = 1.959964  # of the normal distribution, both tails of 2.5%


def wilson(flags: NDArray[np.bool_]) -> Interval:
    """Of the share of these that are true."""
    return of_share(int(np.count_nonzero(flags)), len(flags))


def of_share(hits: int, n: int) -> Interval:
    """Of a share (Wilson 1927): right also near 0 and 1, where the normal interval is not. n is at least 1.

    Raises ValueError where there are more hits than n.
    """
    if not 0 <= hits <= n:
        raise ValueError(f"{hits} of {n} is no share")
    share = hits / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return max(0.0, min(share, float(centre - half))), min(1.0, max(share, float(centre + half)))  # also as rounded


def of_mean(values: NDArray[np.float64]) -> Interval:
    """Of a mean, by the normal approximation."""
    half = Z * float(np.std(values, ddof=1)) / np.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def jackknife(
    statistic: Callable[[NDArray[np.int64], NDArray[np.int64]], float], sizes: tuple[int, int], value: float
) -> Interval | None:
    """Of a statistic of rows of two sets, by leaving out a tenth of both at a time (Shao and Wu 1989).

    A bootstrap would draw rows twice, and a distance grows by that. None where the sets are too small.
    """
    if min(sizes) < LEAST:
        return None
    rows = [np.arange(size) for size in sizes]
    left_out = (tuple(every[every % BLOCKS != block] for every in rows) for block in range(BLOCKS))
    return around(value, [statistic(a, b) for a, b in left_out])


def around(value: float, left_out: Sequence[float]) -> Interval:
    """Of a statistic, by its values with each block left out (the jackknife's standard error)."""
    half = Z * float(np.sqrt((len(left_out) - 1) * np.var(left_out)))
    return value - half, value + half
