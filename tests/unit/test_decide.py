"""Decisions: each branch by a table; and whatever the facts, no training within the cool-down or above the budget."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st

from pipeline.feedback.decide import NextStep, decide
from pipeline.feedback.facts import Drifted, Facts, Newest, Rate, Spending, rate
from pipeline.feedback_params import Deciding, Review
from pipeline.reviews import Tally

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LOW, HIGH = rate(Tally(judged=400, accepted=160)), rate(Tally(judged=400, accepted=320))
OPEN = rate(Tally(judged=400, accepted=235))  # 58.75%, and 63.5% at most
SETTINGS = Deciding(verdicts=200, accepted=0.6, drift=2, model_days=30, data_days=90, cool_down_hours=24)
ENOUGH = {"new": 200, "untrained": 200, "unlearned": 5, "trained_at": NOW - timedelta(days=2)}


def decided(**facts: Any) -> NextStep:
    return decide(Facts(at=NOW, **(ENOUGH | {"accepted": HIGH} | facts)), SETTINGS, Review(opinions=2), NOW)


def drifted(nfd: float, floor: float = 0.5) -> Drifted:
    return Drifted(nfd=nfd, floor=floor, accepted=120, generated=400)


BUDGET = Spending(hours=99, money=10, trainings=3)


@pytest.mark.parametrize(
    ("facts", "action", "about"),
    [
        ({"new": 0, "unlearned": 0}, "review", ["verdicts"]),
        ({"new": 199, "accepted": LOW}, "review", ["verdicts"]),
        ({"new": 199, "newest": Newest(batch="b", items=500, judged=40)}, "review", ["verdicts", "quorum"]),
        ({"accepted": LOW}, "retrain", ["accepted", "hours"]),
        ({"accepted": LOW, "trained_at": None}, "retrain", ["accepted", "hours"]),
        ({"accepted": LOW, "unlearned": 0}, "retrain", ["accepted", "hours"]),
        ({"drift": drifted(2.6)}, "retrain", ["drift", "hours"]),
        ({"model_days": 30.1}, "retrain", ["model_days", "hours"]),
        ({"data_days": 90.1}, "retrain", ["data_days", "hours"]),
        (
            {"accepted": LOW, "drift": drifted(9), "model_days": 31, "data_days": 91},
            "retrain",
            ["accepted", "drift", "model_days", "data_days", "hours"],
        ),
        ({}, "adapt", ["accepted", "unlearned"]),
        ({"accepted": OPEN}, "adapt", ["accepted", "unlearned"]),
        ({"accepted": Rate()}, "adapt", ["accepted", "unlearned"]),
        ({"drift": drifted(2.4), "model_days": 30.0, "data_days": 90.0}, "adapt", ["accepted", "unlearned"]),
        ({"unlearned": 0}, "wait", ["accepted", "unlearned"]),
        ({"unlearned": 0, "newest": Newest(batch="b", items=300, judged=200)}, "wait", ["accepted", "unlearned"]),
        ({"unlearned": 0, "newest": Newest(batch="b", items=30, judged=30)}, "wait", ["accepted", "unlearned"]),
        ({"unlearned": 0, "newest": Newest(batch="b", items=300, judged=199)}, "review", ["accepted", "quorum"]),
        (
            {"accepted": LOW, "trained_at": NOW - timedelta(hours=23)},
            "adapt",
            ["accepted", "cool_down_hours", "unlearned"],
        ),
        (
            {"accepted": LOW, "trained_at": NOW - timedelta(hours=23), "unlearned": 0},
            "wait",
            ["accepted", "cool_down_hours", "unlearned"],
        ),
        ({"accepted": LOW, "trained_at": NOW - timedelta(hours=24)}, "retrain", ["accepted", "hours"]),
        ({"accepted": LOW, "trained_at": NOW + timedelta(9)}, "adapt", ["accepted", "cool_down_hours", "unlearned"]),
        ({"accepted": LOW, "untrained": 199}, "adapt", ["accepted", "untrained", "unlearned"]),
        ({"accepted": LOW, "untrained": 0, "unlearned": 0}, "wait", ["accepted", "untrained", "unlearned"]),
        ({"accepted": LOW, "spent": BUDGET, "next": Spending(hours=1)}, "retrain", ["accepted", "hours"]),
        ({"accepted": LOW, "spent": BUDGET, "next": Spending(hours=1.1)}, "adapt", ["accepted", "hours", "unlearned"]),
        (
            {"accepted": LOW, "spent": BUDGET, "next": Spending(money=91), "unlearned": 0},
            "wait",
            ["accepted", "money", "unlearned"],
        ),
        ({"accepted": LOW, "spent": Spending(hours=100)}, "adapt", ["accepted", "hours", "unlearned"]),
        (
            {"accepted": LOW, "spent": Spending(hours=100, money=100), "trained_at": NOW, "untrained": 3},
            "adapt",
            ["accepted", "untrained", "cool_down_hours", "hours", "money", "unlearned"],
        ),
        ({"spent": Spending(hours=1000)}, "adapt", ["accepted", "unlearned"]),
    ],
)
def test_each_branch(facts: dict[str, Any], action: str, about: list[str]) -> None:
    found = decided(**facts)
    assert (found.action, [reason.about for reason in found.reasons]) == (action, about)
    assert (found.until is not None) is ("cool_down_hours" in about)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            {"new": 120},
            "80 more items have to be judged: 120 of 200 are since the champion was made; each takes 2",
        ),
        ({"accepted": LOW}, "of 400 items 40.0% were accepted, at most 44.9% by the 95% interval; 60.0% are wanted"),
        ({"drift": drifted(9)}, "8.5 of nFD beyond chance from what is made, at most 2 (n = 120)"),
        ({"model_days": 31}, "the model is 31.0 days old, at most 30"),
        (
            {"accepted": LOW, "trained_at": NOW - timedelta(hours=1)},
            "the last training began less than 24 hours ago: the next at 2026-11-26T11:00+00:00",
        ),
        (
            {"accepted": LOW, "spent": BUDGET, "next": Spending(hours=5)},
            "the month's budget of 100 hours does not bear a training: 99 are spent, the next would take 5",
        ),
        (
            {"accepted": LOW, "next": Spending(hours=5)},
            "takes about 5 hours, 100 of this month's 100 are left",
        ),
        (
            {"unlearned": 0, "newest": Newest(batch="b7", items=90, judged=4)},
            "newest batch b7 4 of 90 items are judged",
        ),
    ],
)
def test_reasons_are_told_with_their_numbers(facts: dict[str, Any], words: str) -> None:
    assert any(words in reason.text for reason in decided(**facts).reasons)


def test_the_cool_down_says_until_when() -> None:
    assert decided(accepted=LOW, trained_at=NOW - timedelta(hours=20)).until == NOW + timedelta(hours=4)


def test_a_cool_down_and_a_budget_without_end_can_be_kept_as_json() -> None:
    wanted = Facts(at=NOW, accepted=LOW, **ENOUGH)
    for settings in (Deciding(cool_down_hours=float("inf")), Deciding(hours=float("inf"))):
        found = decide(wanted, settings, Review(), NOW)
        assert float("inf") in [reason.bound for reason in found.reasons]
        assert NextStep.model_validate_json(found.model_dump_json()) == found


def test_ages_of_0_are_any_age_and_a_budget_of_0_is_none() -> None:
    old, wanted = Facts(at=NOW, model_days=1e6, data_days=1e6, **ENOUGH), Facts(at=NOW, accepted=LOW, **ENOUGH)
    assert decide(old, Deciding(), Review(), NOW).action == "adapt"
    for none in (Deciding(hours=0), Deciding(money=0)):
        assert decide(wanted, none, Review(), NOW).action == "adapt"
    assert decide(wanted, Deciding(), Review(), NOW).action == "retrain"


NUMBERS = st.one_of(st.floats(0, 300), st.floats(0, 1e15))
SPENT = st.builds(Spending, hours=NUMBERS, money=NUMBERS)
MOMENTS = st.datetimes(datetime(2026, 10, 1), datetime(2027, 1, 1), timezones=st.just(UTC))
COUNTS = st.integers(0, 500)
RATES = st.tuples(st.integers(1, 1000), st.floats(0, 1)).map(
    lambda t: rate(Tally(judged=t[0], accepted=int(t[0] * t[1])))
)
FACTS = st.builds(
    Facts,
    at=st.just(NOW),
    accepted=RATES,
    new=COUNTS,
    untrained=COUNTS,
    unlearned=COUNTS,
    drift=st.none() | st.builds(drifted, NUMBERS),
    model_days=st.none() | NUMBERS,
    data_days=st.none() | NUMBERS,
    trained_at=st.none() | MOMENTS,
    spent=SPENT,
    next=SPENT,
    newest=st.none() | st.builds(Newest, batch=st.just("b"), items=COUNTS, judged=COUNTS),
)
SETTINGS_ANY = st.builds(
    Deciding,
    verdicts=st.integers(1, 300),
    accepted=st.floats(0, 1),
    drift=NUMBERS,
    model_days=NUMBERS,
    data_days=NUMBERS,
    cool_down_hours=st.one_of(NUMBERS, st.just(float("inf"))),
    hours=NUMBERS,
    money=NUMBERS,
)


@tried(deadline=None)
@given(FACTS, SETTINGS_ANY, st.builds(Review, quorum=st.integers(1, 400)))
def test_no_training_within_the_cool_down_or_above_the_budget(facts: Facts, settings: Deciding, review: Review) -> None:
    found = decide(facts, settings, review, NOW)
    assert found == decide(facts, settings, review, NOW)
    assert found.reasons
    assert all(reason.text.isprintable() for reason in found.reasons)
    if found.action == "retrain":
        waited = (NOW - facts.trained_at).total_seconds() / 3600 if facts.trained_at else float("inf")
        assert waited >= settings.cool_down_hours * (1 - 1e-9) - 1e-9
        assert facts.spent.hours + facts.next.hours <= settings.hours
        assert facts.spent.money + facts.next.money <= settings.money
        assert min(facts.new, facts.untrained) >= settings.verdicts
    if found.action == "adapt":
        assert facts.unlearned > 0
    if found.action == "wait":
        assert facts.unlearned == 0
    assert NextStep.model_validate_json(found.model_dump_json()) == found


@tried(deadline=None)
@given(FACTS, st.integers(0, 499))
def test_more_spent_or_a_later_training_never_makes_a_training(facts: Facts, more: int) -> None:
    if decide(facts, SETTINGS, Review(), NOW).action == "retrain":
        return
    dearer = facts.model_copy(
        update={"spent": Spending(hours=min(1e15, facts.spent.hours + more), money=facts.spent.money)}
    )
    later = facts.model_copy(update={"trained_at": max(facts.trained_at or NOW, NOW)})
    for worse in (dearer, later):
        assert decide(worse, SETTINGS, Review(), NOW).action != "retrain"
