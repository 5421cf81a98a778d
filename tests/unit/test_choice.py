"""The choice: odds that are exact, a sample that is spread, a control arm that knows no preference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.feedback_params import Adapting
from pipeline.preference.choice import UNIT, at_random, chosen, in_control, inclusion, path, taken
from pipeline.preference.estimate import at_random as as_at_random
from pipeline.preference.estimate import uplift, wilson_of
from pipeline.reviews import Tally

RANDOM = np.random.default_rng(0)
CHANCES = RANDOM.random(60)
FEATURES = RANDOM.standard_normal((60, 5)).astype(np.float32)
SETTINGS = Adapting(holdout=0.2)


def test_odds_are_what_happens() -> None:
    counts, told = np.zeros(60), inclusion(CHANCES, 12, 3, 0.1) / UNIT
    draws = 1000
    for seed in range(draws):
        rows, odds = chosen(CHANCES, FEATURES, 12, 3, 0.1, seed)
        assert len(set(rows.tolist())) == 12
        assert (odds == told[rows]).all()
        counts[rows] += 1
    assert told.sum() == 12
    off = (counts / draws - told) / np.sqrt(np.maximum(told * (1 - told), 1e-6) / draws)
    assert np.abs(off).max() < 4.5
    assert np.std(off) == pytest.approx(1, abs=0.4)


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("explore", [0.0, 0.05, 1.0])
@pytest.mark.parametrize(
    "chances",
    [CHANCES, np.zeros(60), np.ones(60), np.r_[np.ones(5), np.zeros(55)], np.full(60, np.nan), CHANCES * 1e-300],
    ids=["usual", "zero", "one", "five", "nan", "tiny"],
)
def test_odds_add_up(chances: NDArray[np.float64], explore: float, sharpness: float) -> None:
    for places in (0, 1, 7, 59, 60, 100):
        units = inclusion(chances, places, sharpness, explore)
        assert int(units.sum()) == min(places, 60) * UNIT
        assert units.min() >= 0 and units.max() <= UNIT
        rows, odds = chosen(chances, FEATURES, places, sharpness, explore, 1)
        assert len(set(rows.tolist())) == len(rows) == min(places, 60)
        assert (odds > 0).all()


def test_odds_by_hand() -> None:
    # (1, .5, .5, 0) squared: 1, 1/4, 1/4, 0 of 1.5; two places: 4/3 is cut to 1, and the other place shared.
    assert inclusion(np.array([1, 0.5, 0.5, 0]), 2, 2, 0.0) / UNIT == pytest.approx([1, 0.5, 0.5, 0])
    assert inclusion(np.array([1, 0, 0, 0]), 1, 2, 0.4) / UNIT == pytest.approx([0.7, 0.1, 0.1, 0.1])
    # With 0.2 for all alike: 0.8 of the first line and 0.2 * 2 / 4.
    assert inclusion(np.array([1, 0.5, 0.5, 0]), 2, 2, 0.2) / UNIT == pytest.approx([0.9, 0.5, 0.5, 0.1])


def test_rates_are_estimated_without_bias() -> None:
    accepted = (RANDOM.random(60) < CHANCES).astype(np.float64)
    totals, plain, covered = [], [], 0
    for seed in range(600):
        rows, odds = chosen(CHANCES, FEATURES, 25, 2, 0.2, seed)
        totals.append(float((accepted[rows] / odds).sum()))
        plain.append(accepted[rows].mean())
        found = as_at_random(accepted[rows], odds)
        assert found is not None
        covered += found.low <= accepted.mean() <= found.high
    assert np.mean(totals) == pytest.approx(accepted.sum(), abs=4 * np.std(totals) / np.sqrt(600))
    assert np.mean(plain) > accepted.mean() + 0.1
    assert covered / 600 > 0.88


def test_the_sample_is_spread() -> None:
    points = RANDOM.standard_normal((500, 3)).astype(np.float32)

    def gap(rows: NDArray[np.int64]) -> float:
        return float(np.linalg.norm(points[:, None] - points[rows], axis=2).min(1).mean())

    spread = [gap(chosen(np.ones(500), points, 40, 1, 0, seed)[0]) for seed in range(20)]
    loose = [gap(at_random(500, 40, seed)[0]) for seed in range(20)]
    assert np.mean(spread) < 0.97 * np.mean(loose)


@pytest.mark.parametrize("make", [np.zeros, np.ones, lambda shape: np.full(shape, np.nan)])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 17])
def test_a_path_meets_all(make: Callable[[tuple[int, int]], NDArray[np.float64]], count: int) -> None:
    assert sorted(path(make((count, 4)).astype(np.float32)).tolist()) == list(range(count))
    assert sorted(path(FEATURES[:count]).tolist()) == list(range(count))


def test_a_path_of_a_line_is_the_line() -> None:
    steps = np.abs(np.diff(path(np.arange(64, dtype=np.float32)[:, None])))
    assert (steps == 1).all()


def test_the_control_arm_is_a_share_by_seeds() -> None:
    seeds = RANDOM.integers(0, 2**63 - 1, 20_000)
    control = in_control(seeds, 0.1)
    assert control.mean() == pytest.approx(0.1, abs=0.01)
    assert (in_control(seeds[:10], 0.1) == control[:10]).all()
    assert not in_control(seeds, 0.0).any()
    assert (in_control(seeds, 0.3) >= control).all()


def test_arms_have_their_shares_and_their_odds() -> None:
    count = 500
    chances, seeds = RANDOM.random(count), RANDOM.integers(0, 2**63 - 1, count)
    features = RANDOM.standard_normal((count, 4)).astype(np.float32)
    control = in_control(seeds, 0.2)
    sizes, seen, means = [], np.zeros(count), []
    for seed in range(100):
        found = taken(chances, features, seeds, 63, SETTINGS, seed)
        assert len(found.rows) == 63
        assert (found.control == control[found.rows]).all()
        assert found.odds[found.control] == pytest.approx(found.control.sum() / control.sum())
        sizes.append(found.control.sum())
        seen[found.rows] += 1
        means.append([chances[found.rows[found.control]].mean(), chances[found.rows[~found.control]].mean()])
    assert set(sizes) == {12, 13}
    assert np.mean(sizes) == pytest.approx(12.6, abs=0.2)
    assert np.mean(means, 0) == pytest.approx([chances[control].mean(), 0.88], abs=0.05)


def test_the_control_arm_may_have_another_share_of_places() -> None:
    count = 400
    found = [
        taken(np.ones(count), np.zeros((count, 1), np.float32), np.arange(count), 40, SETTINGS, seed, 0.5).control.sum()
        for seed in range(3)
    ]
    assert found == [20, 20, 20]


@pytest.mark.parametrize("count", [0, 1, 5, 30, 40])
@pytest.mark.parametrize("holdout", [0.0, 0.5, 0.99])
def test_no_place_is_left_while_there_are_candidates(count: int, holdout: float) -> None:
    found = taken(np.ones(count), np.zeros((count, 3), np.float32), np.arange(count), 30, Adapting(holdout=holdout), 3)
    assert len(set(found.rows.tolist())) == min(30, count)
    assert (found.odds > 0).all() and (found.odds <= 1).all()


def test_estimates_by_hand() -> None:
    # Weights 1 and 4: the share is 1 / 5.
    found = as_at_random(np.array([1.0, 0.0]), np.array([1.0, 0.25]))
    assert found is not None and found.share == pytest.approx(0.2)
    assert as_at_random(np.zeros(0), np.zeros(0)) is None
    assert as_at_random(np.ones(1), np.array([np.nan])) is None
    sure = as_at_random(np.ones(50), np.full(50, 0.5))
    assert sure is not None and (sure.share, sure.worth) == (1, 50) and 0.9 < sure.low < 1
    # Wilson 1927: 8 of 10.
    assert wilson_of(0.8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_the_uplift_of_newcombes_example() -> None:
    # Newcombe 1998, table II, (a): 56/70 - 48/80; method 10 gives 0.0524 to 0.3339.
    found = uplift(Tally(judged=70, accepted=56), Tally(judged=80, accepted=48))
    assert found is not None
    assert (found.difference, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    assert uplift(Tally(judged=5, accepted=5), Tally()) is None
