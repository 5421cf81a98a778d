"""Candidates taken by preference: more of what is liked, some without, each with the odds that it had."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.feedback_params import Adapting, Learning
from pipeline.generate.filters import Verdicts
from pipeline.generate.order import Order, Slots, slots
from pipeline.generate.taking import Taken, take
from pipeline.preference.evidence import Evidence
from pipeline.preference.learn import learn
from pipeline.preference.model import Preference
from tests.unit.test_order import order

RANDOM = np.random.default_rng(1)
ADAPTING = Adapting(holdout=0.25, candidates=5, sharpness=8, explore=0.1)


def preferring(**more: object) -> Order:
    update = {"preference": "p" * 16, "adapting": ADAPTING, **more}
    return order(count=400, part_items=400).model_copy(update=update)


@pytest.fixture(scope="module")
def preference() -> Preference:
    """Of somebody who likes what has a high first feature; of areas it knows nothing."""
    features = np.hstack([RANDOM.standard_normal((600, 4)), np.full((600, 256), 0.5)]).astype(np.float32)
    evidence = Evidence(
        features=features,
        labels=np.arange(600) % 3,
        rows=np.arange(600),
        successes=(features[:, 0] > 0.5).astype(np.float64),
        weights=np.ones(600),
        channels=np.zeros(600, np.int64),
        segments=np.full(600, -1),
        classes=("a", "b", "c"),
        blocks=(4, 256),
    )
    return learn(evidence, features, Learning())


def seen(places: Slots, bad: tuple[int, ...] = ()) -> Verdicts:
    count = len(places.candidate_labels)
    reasons = np.full(count, "", object)
    reasons[list(bad)] = "odd"
    features = np.random.default_rng(2).standard_normal((count, 4)).astype(np.float32)
    none = np.zeros(count, np.float32)
    return Verdicts(reasons, none, none, np.full((count, 16, 16), 128, np.uint8), features)


def taken(asked: Order, preference: Preference | None, bad: tuple[int, ...] = ()) -> tuple[Slots, Verdicts, Taken]:
    places = slots(asked, 0)
    verdicts = seen(places, bad)
    return places, verdicts, take(asked, places, verdicts, preference, 0)


def test_every_place_gets_a_good_one_of_its_class_once(preference: Preference) -> None:
    places, _, found = taken(preferring(), preference, bad=tuple(range(0, 1000, 3)))
    assert (found.rows >= 0).all() and len(set(found.rows.tolist())) == 400
    assert (places.candidate_labels[found.rows] == places.labels).all()
    assert (found.rows % 3 > 0)[found.rows < 1000].all()


def test_liked_ones_are_taken_and_the_control_is_as_all_are(preference: Preference) -> None:
    _, verdicts, found = taken(preferring(), preference)
    first, arms = verdicts.features[found.rows, 0], found.columns["arm"][found.rows]  # type: ignore[index]
    liked = {arm: float((first[arms == arm] > 0.5).mean()) for arm in ("preferred", "control")}
    assert set(arms) == {"preferred", "control"}
    assert liked["preferred"] > 0.85
    assert abs(liked["control"] - 0.31) < 0.15
    assert abs((arms == "control").mean() - 0.25) < 0.03
    odds = found.columns["odds"][found.rows]
    assert ((odds > 0) & (odds <= 1)).all()


def test_the_odds_give_the_share_of_all_candidates_back(preference: Preference) -> None:
    _, verdicts, found = taken(preferring(), preference)
    mine = found.rows[found.columns["arm"][found.rows] == "preferred"]
    weights = 1 / found.columns["odds"][mine]
    share = float(weights @ (verdicts.features[mine, 0] > 0.5) / weights.sum())  # type: ignore[index]
    assert abs(share - float((verdicts.features[:, 0] > 0.5).mean())) < 0.12  # type: ignore[index]


def test_the_same_part_again_takes_the_same(preference: Preference) -> None:
    again = [taken(preferring(), preference)[2] for _ in range(2)]
    assert np.array_equal(again[0].rows, again[1].rows)


def test_without_a_preference_the_first_ones_are_taken_and_nothing_is_told() -> None:
    places, _, found = taken(order(count=400, part_items=400), None)
    assert found.columns == {}
    assert (places.candidate_labels[found.rows] == places.labels).all()


def test_what_the_old_champion_makes_is_named(preference: Preference) -> None:
    assert set(taken(preferring(canary=True), preference)[2].columns["arm"]) == {"canary", "control"}
    alone = order(count=400, part_items=400).model_copy(update={"canary": True})
    assert set(taken(alone, None)[2].columns["arm"]) == {"canary"}


def test_orders_without_preference_keep_their_ids() -> None:
    asked = order()
    assert asked.model_copy(update={"preference": "x"}).id != asked.id
    assert "preference" not in asked.model_dump() and "canary" not in asked.model_dump()
    off = order(preferred=False)
    assert off.id == asked.id


def test_a_class_has_the_control_that_its_order_tells(preference: Preference) -> None:
    places, _, found = taken(preferring(control=(0.5, 0.1, 0.0)), preference)
    control = found.columns["arm"][found.rows] == "control"
    shares = [float(control[places.labels == label].mean()) for label in range(3)]
    assert shares == pytest.approx([0.5, 0.1, 0.0], abs=0.02)
