"""Whether the new champion's accepted share is worse than the old one's: a test that may be looked at at any time.

Verdicts come in blocks, each of as many of either model as the canary's share sets in proportion, in the order in
which the items were judged. X, the new ones' accepted share of a block less the old ones', lies in [-1, 1] and has the
difference d of both chances as its mean. Against "d is at least m" one bets that X falls below m: the capital

    K(m) = mean over c of the product over blocks of (1 - c (X - m) / (1 - m)),   0 < c < 1,

starts at 1, is never negative, and as long as d >= m does not grow in expectation, whatever came before. So it ever
reaches 1 / level with a probability of at most level (Ville 1939), however often one looks. See Waudby-Smith and
Ramdas, Estimating means of bounded random variables by betting, JRSS B 86(1), 2024, section 4, on the capital process
and its inversion; the mean over constant bets c, in place of one that adapts, is Robbins' method of mixtures. The m
that are not refused so are a confidence sequence, here one-sided to either side at `level`.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.feedback_params import Canary
from pipeline.values import Value

Flags = NDArray[np.bool_]
BETS = np.geomspace(0.06, 0.9, 9)  # c is best near |d| / variance of X: from a difference of .02 to one of .3
HALVINGS = 40
BLOCK_MOST = 20  # of one model; a share of less than 1 in 21 is tested as one of that


class Block(NamedTuple):
    """How many verdicts of each."""

    new: int
    old: int


class CanaryResult(Value):
    """low, high: of the difference new - old, each at the test's level. new, old: verdicts that counted, of those that
    there are: the last block may not be full yet."""

    outcome: Literal["look on", "settled", "roll back"]
    difference: float
    low: float
    high: float
    new: int
    old: int
    level: float
    reason: str


def judge(new: Flags, old: Flags, settings: Canary) -> CanaryResult:
    """new, old: bool [N], [M]: whether the items of each model were accepted, in the order in which they were judged.

    Rolls back where the interval of new - old lies wholly below 0: the new model is shown to be worse at all, by
    however little. Settles where it lies above -margin, or, with nothing shown, where both have `most` verdicts
    together: then the new one stays. Equal models are rolled back with a probability of at most `level`, and a new one
    that is worse by margin or more is settled by the interval with at most as much, over all looks together.
    The items of both have to come from the same orders in the same stretch of time, or else the difference is of those.
    """
    block = block_of(settings.share)
    values, counts = values_of(block), counts_of(new, old, block)
    total = int(counts.sum())
    low, high = (bound(values, counts, settings.level, side) for side in (-1, 1))
    difference = float(counts @ values / total) if total else 0.0
    told = f"accepted share of the new less the old: {difference:+.3f}, from {low:+.3f} to {high:+.3f}"
    outcome, why = _outcome(low, high, len(new) + len(old), settings)
    return CanaryResult(
        outcome=outcome,
        difference=difference,
        low=low,
        high=high,
        new=total * block.new,
        old=total * block.old,
        level=settings.level,
        reason=f"{told} ({total * block.new} and {total * block.old} verdicts): {why}",
    )


def _outcome(
    low: float, high: float, verdicts: int, settings: Canary
) -> tuple[Literal["look on", "settled", "roll back"], str]:
    if high < 0:
        return "roll back", "the new one is worse"
    if low > -settings.margin:
        return "settled", f"the new one is not worse by {settings.margin:g}"
    if verdicts >= settings.most:
        return "settled", f"no difference is shown after {verdicts} verdicts, at most {settings.most} are awaited"
    return "look on", f"worse by {settings.margin:g} is not excluded yet, nor shown to be worse"


def block_of(share: float) -> Block:
    """share: of the old model's among the items."""
    if share <= 0:
        return Block(BLOCK_MOST, 1)
    ratio = (1 - share) / share
    return Block(min(BLOCK_MOST, max(1, round(ratio))), min(BLOCK_MOST, max(1, round(1 / ratio))))


def values_of(block: Block) -> NDArray[np.float64]:
    """float64 [(new + 1) (old + 1)]: X of a block, by how many of its new and old ones were accepted."""
    new, old = np.arange(block.new + 1) / block.new, np.arange(block.old + 1) / block.old
    return np.subtract.outer(new, old).ravel()


def counts_of(new: Flags, old: Flags, block: Block) -> NDArray[np.int64]:
    """int64 [(new + 1) (old + 1)]: how many blocks had each X."""
    full = min(len(new) // block.new, len(old) // block.old)
    sums = [flags[: full * size].reshape(full, size).sum(1) for flags, size in ((new, block.new), (old, block.old))]
    kinds = sums[0] * (block.old + 1) + sums[1]
    return np.bincount(kinds, minlength=(block.new + 1) * (block.old + 1)).astype(np.int64)


def log_capital(values: NDArray[np.float64], counts: NDArray[Any], m: float) -> NDArray[np.float64]:
    """float64 [...]: log K(m), of counts [..., kinds] of blocks; 0 before the first. m is below 1."""
    logs = np.log1p(-np.outer(values - m, BETS) / (1 - m))
    sums = counts @ logs
    most = sums.max(-1, keepdims=True)
    return np.asarray(most[..., 0] + np.log(np.exp(sums - most).mean(-1)))


def bound(values: NDArray[np.float64], counts: NDArray[Any], level: float, side: int) -> float:
    """The least difference that is refused as too high (side 1), or the greatest that is as too low (side -1).

    K grows with m, since 1 - c (X - m) / (1 - m) = 1 - c + c (1 - X) / (1 - m) does: halving finds where it passes
    1 / level. The end that is given is the one farther out, so that the interval never comes out too narrow.
    """
    low, high = -1.0, 1.0
    for _ in range(HALVINGS):
        m = (low + high) / 2
        if log_capital(side * values, counts, m) >= -np.log(level):
            high = m
        else:
            low = m
    return side * high
