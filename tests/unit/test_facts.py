"""Facts that decisions stand on, against numbers worked by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluate.intervals import of_share, wilson
from pipeline.feedback.facts import (
    ItemCost,
    Rate,
    Spending,
    Training,
    days_since,
    drift,
    expected,
    item_cost,
    over_time,
    rate,
    rates,
    spent_this_month,
    total,
)
from pipeline.reviews import Tally

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def training(at: datetime, hours: float = 1.0, money: float = 2.0) -> Training:
    return Training(began=at, hours=hours, money=money)


def test_a_rate_by_hand() -> None:
    # 8 of 10: centre (0.8 + 3.8415 / 20) / 1.38415 = 0.71674, half 0.22658 (Wilson 1927).
    found = rate(Tally(judged=10, accepted=8))
    assert (found.judged, found.accepted, found.share) == (10, 8, 0.8)
    assert (found.low, found.high) == pytest.approx((0.49016, 0.94332), abs=1e-5)


def test_nothing_judged_says_nothing() -> None:
    assert rate(Tally()) == Rate(judged=0, accepted=0, share=None, low=0, high=1)


@pytest.mark.parametrize("tally", [Tally(judged=3, accepted=4), Tally(judged=3, accepted=-1)])
def test_no_share_is_refused(tally: Tally) -> None:
    with pytest.raises(ValueError, match="is no share"):
        rate(tally)


@settings(deadline=None)
@given(st.integers(1, 10**6), st.floats(0, 1))
def test_an_interval_of_counts_holds_its_share(n: int, part: float) -> None:
    hits = round(part * n)
    low, high = of_share(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    if n < 500:
        assert (low, high) == wilson(np.arange(n) < hits)


def test_rates_by_name_and_over_time() -> None:
    assert list(rates({"b": Tally(judged=2, accepted=1), "a": Tally()})) == ["a", "b"]
    day = date(2026, 11, 2)
    tallies = {
        day + timedelta(days): Tally(judged=judged, accepted=accepted)
        for days, judged, accepted in [(20, 5, 5), (0, 2, 1), (6, 3, 2), (7, 4, 0), (13, 1, 1), (14, 0, 0)]
    }
    spans = over_time(tallies)
    counts = [(span.start, span.rate.judged, span.rate.accepted) for span in spans]
    assert counts == [(day, 5, 3), (day + timedelta(7), 5, 1), (day + timedelta(14), 5, 5)]
    assert over_time({}) == ()


def test_tallies_add_up() -> None:
    assert total([Tally(judged=3, accepted=2, quarrels=1), Tally(judged=1)]) == Tally(judged=4, accepted=2, quarrels=1)


def test_drift_of_a_taste_stands_out_of_chance() -> None:
    generated = np.random.default_rng(0).standard_normal((600, 16))
    chance, taste = generated[::3], generated[generated[:, 0] > 0.4]
    same, moved = drift(chance, generated), drift(taste, generated)
    assert same and moved
    assert (same.accepted, same.generated) == (200, 600)
    assert same.beyond < 0.2 < moved.beyond
    # Of 16 unit variances the first, accepted above 0.4, has mean 1.0 and variance 0.24: 100 (1 + 0.26) / 16.
    assert moved.beyond == pytest.approx(100 * (1.03**2 + (1 - 0.24**0.5) ** 2) / 16, rel=0.2)
    assert drift(chance, generated) == same
    assert drift(7 * taste, 7 * generated).nfd == pytest.approx(moved.nfd)  # type: ignore[union-attr]


def test_drift_is_unknown_with_too_few() -> None:
    generated = np.random.default_rng(0).standard_normal((100, 4))
    assert drift(generated[:19], generated) is None
    assert drift(generated[:20], generated[:20]) is None
    assert drift(generated[:20], generated) is not None
    assert drift(generated, generated[:30]) is not None


def test_drift_of_what_are_no_features_is_refused() -> None:
    generated = np.ones((50, 4))
    for accepted in (np.ones((30, 3)), np.full((30, 4), np.nan), np.full((30, 4), np.inf)):
        with pytest.raises(ValueError, match="finite, and alike long"):
            drift(accepted, generated)
    same = drift(generated[:30], generated)
    assert same
    assert same.beyond == 0


def test_days() -> None:
    assert days_since(NOW - timedelta(hours=36), NOW) == 1.5
    assert days_since(NOW + timedelta(hours=36), NOW) == 0
    assert days_since(None, NOW) is None


def test_the_cost_of_an_accepted_item_by_hand() -> None:
    # 10 of money for 100 items, half of those judged accepted: 0.1 / 0.5.
    found = item_cost(10, 100, Tally(judged=20, accepted=10))
    low, high = of_share(10, 20)
    assert found == ItemCost(money=0.2, low=0.1 / high, high=0.1 / low, made=100, judged=20)
    assert item_cost(10, 100, Tally(judged=20)) is None
    assert item_cost(10, 100, Tally()) is None
    assert item_cost(0, 0, Tally(judged=2, accepted=1)) is None


def test_only_this_months_trainings_are_spent() -> None:
    west = timezone(timedelta(hours=-8))
    trainings = [
        training(datetime(2026, 11, 1, tzinfo=UTC)),
        training(datetime(2026, 10, 31, 23, 59, tzinfo=UTC)),
        training(datetime(2026, 10, 31, 20, tzinfo=west), 4),  # in UTC, on the first of November
        training(datetime(2025, 11, 20, tzinfo=UTC)),
    ]
    assert spent_this_month(trainings, NOW) == Spending(hours=5, money=4, trainings=2)
    assert spent_this_month([], NOW) == Spending()


def test_the_next_training_is_reckoned_as_the_dearest_of_the_last_five() -> None:
    trainings = [
        training(NOW - timedelta(days), hours) for days, hours in [(60, 50), (5, 1), (4, 3), (3, 2), (2, 1), (1, 1)]
    ]
    assert expected(trainings) == Spending(hours=3, money=2, trainings=5)
    assert expected(trainings, Spending(hours=9, money=1)) == Spending(hours=9, money=2, trainings=5)
    assert expected([], Spending(hours=9)) == Spending(hours=9)
