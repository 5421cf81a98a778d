"""What was said, as evidence; and what became of decisions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from pipeline.feedback.facts import rate
from pipeline.feedback.gathering import CHANNELS, Said, evidence_of
from pipeline.feedback.outcome import outcome_of
from pipeline.feedback_params import Learning
from pipeline.preference.evidence import Evidence
from pipeline.reviews import Choice, Enrolled, Outcome, Tally, Verdict

NOW = datetime(2026, 5, 4, tzinfo=UTC)
BATCH = "0123456789abcdef"


def item(place: int) -> str:
    return f"{BATCH}-{place:08d}"


def enrolled(place: int, segment: str = "") -> Enrolled:
    return Enrolled(
        item=item(place),
        batch=BATCH,
        order="samples",
        place=place,
        label="a" if place % 2 else "b",
        segment=segment,
        model="generator",
        version=1,
    )


def verdict(place: int, days: float = 0, **said: object) -> Verdict:
    at = NOW - timedelta(days=days)
    return Verdict.model_validate({"item": item(place), "reviewer": "ann", "at": at, **said})


def gathered(said: Said, settings: Learning, without: tuple[int, ...] = ()) -> Evidence:
    names = [name for name in said.names if int(name[-8:]) not in without]
    features = {name: np.full(3, int(name[-8:]), np.float32) for name in names}
    return evidence_of(said, features, (3,), ("a", "b"), settings, NOW, "space")


def test_verdicts_ratings_and_concerns_are_trials_of_their_item() -> None:
    judged = [
        (enrolled(1), verdict(1, accepted=True)),
        (enrolled(2, "north"), verdict(2, rating=2)),
        (enrolled(3), verdict(3, accepted=True, concern="harmful")),
        (enrolled(4), verdict(4, note="no opinion")),
    ]
    found = gathered(Said(judged, [], [], {one.item: one for one, _ in judged}), Learning())
    assert found.features[:, 0].tolist() == [1, 2, 3, 4]
    assert found.labels.tolist() == [0, 1, 0, 1]
    assert found.rows.tolist() == [0, 1, 2]
    assert found.successes.tolist() == [1, 0.25, 0]
    assert found.segments.tolist() == [-1, 0, -1] and found.segment_names == ("north",)


def test_old_verdicts_weigh_half_after_a_half_life() -> None:
    judged = [(enrolled(n), verdict(n, days, accepted=True)) for n, days in ((1, 0), (2, 10), (3, 20), (4, -5))]
    said = Said(judged, [], [], {one.item: one for one, _ in judged})
    assert gathered(said, Learning(half_life_days=10)).weights.tolist() == [1, 0.5, 0.25, 1]
    assert gathered(said, Learning()).weights.tolist() == [1, 1, 1, 1]


def test_outcomes_weigh_as_few_verdicts_however_many_saw_them() -> None:
    one = Outcome(item=item(1), source="shop", at=NOW, impressions=10_000, clicks=2500, conversions=100)
    unseen = Outcome(item=item(2), source="shop", at=NOW)
    items = {item(n): enrolled(n) for n in (1, 2)}
    found = gathered(Said([], [], [(items[item(1)], one), (items[item(2)], unseen)], items), Learning(outcomes=2))
    assert [CHANNELS[channel] for channel in found.channels] == ["click", "conversion"]
    assert found.weights.tolist() == [2, 2]
    assert found.successes.tolist() == [0.5, 0.02]


def test_choices_are_pairs_and_what_has_no_features_is_left_out() -> None:
    items = {item(n): enrolled(n) for n in (1, 2, 3)}
    pairs = [(1, 2), (3, 1)]
    chosen = [Choice(better=item(a), worse=item(b), reviewer="ann", at=NOW) for a, b in pairs]
    found = gathered(Said([], chosen, [], items), Learning())
    assert (found.better.tolist(), found.worse.tolist()) == ([0, 2], [1, 0])
    found = gathered(Said([], chosen, [], items), Learning(), without=(3,))
    assert (found.better.tolist(), found.worse.tolist()) == ([0], [1])


def test_nothing_said_is_no_evidence() -> None:
    found = gathered(Said([], [], [], {}), Learning())
    assert len(found.rows) == len(found.better) == 0


def test_ratings_rose_where_the_intervals_of_before_and_after_lie_apart() -> None:
    before = rate(Tally(judged=200, accepted=60)).model_dump()
    tallies = {("old",): Tally(judged=200, accepted=60), ("new",): Tally(judged=100, accepted=80)}
    found = outcome_of(before, ["old"], tallies)
    assert found is not None and found.rose is True and found.after.judged == 100
    tallies["new",] = Tally(judged=100, accepted=32)
    assert (outcome_of(before, ["old"], tallies) or found).rose is None
    tallies["new",] = Tally(judged=100, accepted=5)
    assert (outcome_of(before, ["old"], tallies) or found).rose is False


def test_of_too_few_nothing_is_concluded() -> None:
    before = rate(Tally(judged=200, accepted=60)).model_dump()
    assert outcome_of(before, ["old"], {("old",): Tally(judged=200), ("new",): Tally(judged=29, accepted=29)}) is None
