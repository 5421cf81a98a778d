"""The canary's test: right however often one looks, by simulation and by hand; it finds what it is there to find."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.feedback.canary import (
    BETS,
    Block,
    block_of,
    bound,
    counts_of,
    judge,
    log_capital,
    values_of,
)
from pipeline.feedback_params import Canary

STREAMS, MOST, LEVEL, MARGIN = 2000, 2000, 0.05, 0.05
FOUR = Block(4, 1)
SETTINGS = Canary()
FLAGS = st.lists(st.booleans(), max_size=120)


def flags(accepted: int, of: int) -> NDArray[np.bool_]:
    """So many, spread evenly."""
    return np.diff(np.arange(of + 1) * accepted // max(1, of)) > 0


def crossings(new: float, old: float, m: float, side: int, seed: int, block: Block = FOUR) -> NDArray[np.float64]:
    """float64 [STREAMS]: verdicts after which m is refused, looked at after each block; inf where it never is."""
    random, blocks = np.random.default_rng(seed), MOST // sum(block)
    sums = [random.binomial(size, p, (STREAMS, blocks)) for size, p in ((block.new, new), (block.old, old))]
    kinds = sums[0] * (block.old + 1) + sums[1]
    counts, refused = np.zeros((STREAMS, len(values_of(block))), np.int64), np.full(STREAMS, np.inf)
    for done in range(blocks):
        counts[np.arange(STREAMS), kinds[:, done]] += 1
        crossed = log_capital(side * values_of(block), counts, side * m) >= -np.log(LEVEL)
        refused[crossed] = np.minimum(refused[crossed], (done + 1) * sum(block))
    return refused


@pytest.mark.parametrize(("share", "seed"), [(0.3, 1), (0.6, 2), (0.95, 3)])
def test_equal_models_are_rolled_back_no_more_often_than_the_level_says(share: float, seed: int) -> None:
    found = np.isfinite(crossings(share, share, 0.0, 1, seed)).mean()
    assert 0.004 < found <= LEVEL


def test_a_model_that_is_worse_by_the_margin_is_settled_no_more_often_than_the_level_says() -> None:
    found = np.isfinite(crossings(0.6 - MARGIN, 0.6, -MARGIN, -1, 4)).mean()
    assert 0.004 < found <= LEVEL


def test_it_stays_right_where_both_shares_move_together() -> None:
    random, blocks = np.random.default_rng(5), MOST // 5
    moving = 0.6 + 0.35 * np.sin(np.linspace(0, 9, blocks))
    kinds = random.binomial(4, moving, (STREAMS, blocks)) * 2 + random.binomial(1, moving, (STREAMS, blocks))
    counts, ever = np.zeros((STREAMS, 10), np.int64), np.zeros(STREAMS, bool)
    for done in range(blocks):
        counts[np.arange(STREAMS), kinds[:, done]] += 1
        ever |= log_capital(values_of(FOUR), counts, 0.0) >= -np.log(LEVEL)
    assert 0.004 < ever.mean() <= LEVEL


@pytest.mark.parametrize(("drop", "found", "median"), [(0.1, 0.75, 1000), (0.2, 0.995, 320)])
def test_a_drop_is_found_within_what_is_awaited(drop: float, found: float, median: float) -> None:
    verdicts = crossings(0.6 - drop, 0.6, 0.0, 1, 6)
    assert np.isfinite(verdicts).mean() > found
    assert np.median(verdicts[np.isfinite(verdicts)]) < median


def test_the_capital_by_hand() -> None:
    # Two pairs, of which the new one lost both: X = -1 twice. At m = 0 each bet c gains (1 + c) twice over.
    counts = counts_of(np.array([False, False]), np.array([True, True]), Block(1, 1))
    assert values_of(Block(1, 1)).tolist() == [0, -1, 1, 0]
    assert counts.tolist() == [0, 2, 0, 0]
    assert log_capital(values_of(Block(1, 1)), counts, 0.0) == pytest.approx(np.log(np.mean((1 + BETS) ** 2)))
    assert log_capital(values_of(Block(1, 1)), 0 * counts, 0.3) == pytest.approx(0)


@pytest.mark.parametrize(("new", "old", "block"), [(0.5, 0.5, FOUR), (0.9, 0.9, FOUR), (0.7, 0.7, Block(1, 1))])
def test_the_capital_does_not_grow_in_expectation(new: float, old: float, block: Block) -> None:
    """Over all that three blocks can be, with their chances: a martingale at the true difference."""
    chances = np.array(
        [
            np.prod(np.where(one, new, 1 - new)) * np.prod(np.where(other, old, 1 - old))
            for one in product([0, 1], repeat=block.new)
            for other in product([0, 1], repeat=block.old)
        ]
    )
    kinds = [
        sum(one) * (block.old + 1) + sum(other)
        for one in product([0, 1], repeat=block.new)
        for other in product([0, 1], repeat=block.old)
    ]
    of_kind = np.bincount(kinds, chances)
    expected = 0.0
    for three in product(range(len(of_kind)), repeat=3):
        counts = np.bincount(three, minlength=len(of_kind))
        expected += np.prod(of_kind[list(three)]) * np.exp(log_capital(values_of(block), counts, new - old))
    assert expected == pytest.approx(1)


@tried(deadline=None)
@given(FLAGS, FLAGS, st.floats(0.001, 0.5), st.sampled_from([0.01, 0.2, 0.5, 0.9]))
def test_the_interval_is_where_the_capital_passes_the_level(
    new: list[bool], old: list[bool], level: float, share: float
) -> None:
    block = block_of(share)
    values, counts = values_of(block), counts_of(np.array(new, bool), np.array(old, bool), block)
    for side in (-1, 1):
        end = bound(values, counts, level, side)
        assert -1 <= end <= 1
        if abs(end) < 1 - 1e-6:
            assert log_capital(side * values, counts, side * end) == pytest.approx(-np.log(level), abs=1e-3)
    low, high = (bound(values, counts, level, side) for side in (-1, 1))
    assert (high < 0) is bool(log_capital(values, counts, 0.0) >= -np.log(level))
    mean = counts @ values / max(1, counts.sum())
    assert low <= mean <= high
    assert low < mean or mean == -1
    assert mean < high or mean == 1


@tried(deadline=None)
@given(FLAGS, FLAGS)
def test_the_other_way_round_it_is_mirrored(new: list[bool], old: list[bool]) -> None:
    even = Canary(share=0.5)
    one, other = (judge(np.array(a, bool), np.array(b, bool), even) for a, b in ((new, old), (old, new)))
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.difference == pytest.approx(-other.difference)


@pytest.mark.parametrize(
    ("new", "old", "settings", "outcome", "words"),
    [
        (flags(0, 0), flags(0, 0), SETTINGS, "look on", "0 and 0 verdicts"),
        (flags(60, 100), flags(15, 25), SETTINGS, "look on", "100 and 25 verdicts"),
        (flags(40, 400), flags(90, 100), SETTINGS, "roll back", "the new one is worse"),
        (flags(390, 400), flags(40, 100), SETTINGS, "settled", "not worse by 0.05"),
        (flags(960, 1600), flags(240, 400), SETTINGS, "settled", "after 2000 verdicts"),
        (flags(959, 1599), flags(240, 400), SETTINGS, "look on", "1596 and 399 verdicts"),
        (flags(60, 100), flags(15, 25), Canary(most=125), "settled", "after 125 verdicts"),
        (flags(60, 100), flags(15, 25), Canary(margin=1.0), "settled", "not worse by 1"),
        (flags(55_000, 100_000), flags(15_000, 25_000), Canary(margin=0.1), "roll back", "the new one is worse"),
        (flags(99, 99), flags(0, 0), SETTINGS, "look on", "0 and 0 verdicts"),
        (flags(0, 20), flags(80, 80), Canary(share=0.8), "roll back", "20 and 80 verdicts"),
        (flags(0, 1), flags(1, 1), Canary(share=0.5, level=0.99), "roll back", "1 and 1 verdicts"),
    ],
)
def test_what_is_judged(
    new: NDArray[np.bool_], old: NDArray[np.bool_], settings: Canary, outcome: str, words: str
) -> None:
    found = judge(new, old, settings)
    assert (found.outcome, words in found.reason) == (outcome, True), found.reason
    assert (found.high < 0) is (outcome == "roll back")


@pytest.mark.parametrize(
    ("share", "block"),
    [(0.2, (4, 1)), (0.5, (1, 1)), (0.8, (1, 4)), (0.001, (20, 1)), (0.999, (1, 20)), (0.0, (20, 1)), (0.3, (2, 1))],
)
def test_blocks_have_both_models_as_the_share_sets_them(share: float, block: tuple[int, int]) -> None:
    assert block_of(share) == block
