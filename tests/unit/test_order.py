"""Orders: who they are, what each part of a batch holds, and when one is due."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.errors import ParamsError
from pipeline.generate.order import Order, filled, make_order, slots, wanted
from pipeline.orders import BatchOrder, period
from pipeline.values import ModelVersion

MODEL = ModelVersion(name="generator", version=3, alias="champion", bundle="b" * 16, uri="models:/generator/3")


def order(classes: tuple[str, ...] = ("a", "b", "c"), when: str = "", **asked: object) -> Order:
    chosen = BatchOrder.model_validate(asked)
    return make_order("shop", chosen, when, MODEL, classes, "snapshot", "screen", {})


@pytest.mark.parametrize("count", [1, 2, 7, 100, 997])
@pytest.mark.parametrize("mix", [{}, {"a": 1}, {"a": 1, "b": 3}, {"a": 0.2, "b": 0.3, "c": 0.5}])
def test_every_place_is_met_once_and_the_mix_to_within_an_item(count: int, mix: dict[str, float]) -> None:
    asked = order(count=count, mix=mix, part_items=10)
    places = [slots(asked, part) for part in range(asked.parts)]
    assert np.concatenate([one.index for one in places]).tolist() == list(range(count))
    labels = Counter(np.concatenate([one.labels for one in places]).tolist())
    assert dict(labels) == wanted(asked)
    weights = [mix.get(name, 0.0) if mix else 1.0 for name in "abc"]
    for label, weight in enumerate(weights):
        assert abs(labels[label] - count * weight / sum(weights)) < 1


def test_a_part_has_its_share_of_every_class_and_candidates_to_spare() -> None:
    asked = order(count=1000, part_items=100, candidates=1.5)
    for part in range(10):
        places = slots(asked, part)
        counts = np.bincount(places.labels)
        assert counts.min() >= 30
        assert np.array_equal(np.bincount(places.candidate_labels), np.ceil(counts * 1.5))
    seeds = np.concatenate([slots(asked, part).candidate_seeds for part in range(10)])
    assert len(np.unique(seeds)) == len(seeds)


def test_places_are_filled_in_order_by_good_candidates_of_their_class() -> None:
    places = slots(order(count=6, candidates=2), 0)
    good = np.ones(len(places.candidate_labels), bool)
    good[np.flatnonzero(places.candidate_labels == 1)[:3]] = False
    good[places.candidate_labels == 2] = False
    taken = filled(places, good)
    assert (taken[places.labels == 2] == -1).all()
    assert (taken[places.labels == 1] >= 0).sum() == 1
    for label in (0, 1):
        rows = taken[(places.labels == label) & (taken >= 0)]
        assert (places.candidate_labels[rows] == label).all() and good[rows].all()
        assert len(set(rows.tolist())) == len(rows)


def test_the_id_changes_with_whatever_changes_the_batch() -> None:
    known = {order().id, order(seed=1).id, order(when="2026-01").id, order(truncation=0.9).id, order(("a",)).id}
    known.add(order(filters={"policies": ["p:f"]}).id)
    assert len(known) == 6 and order().id == order().id


def test_a_changed_copy_of_an_order_has_an_id_of_its_own() -> None:
    one = order()
    before, copy = one.id, one.model_copy(update={"version": one.version + 1})
    assert copy.id != before and copy.model_copy(update={"version": one.version}) == one
    assert copy.model_copy(update={"version": one.version}).id == before
    assert Order.model_validate(one.model_dump()).id == Order.model_validate_json(one.model_dump_json()).id == before


def test_each_period_has_its_own_seed_and_none_repeats_the_plain_one() -> None:
    seeds = {order(when=when).seed for when in ("", "2026-W01", "2026-W02")}
    assert len(seeds) == 3 and order(seed=5).seed == 5


@pytest.mark.parametrize(
    ("every", "told"),
    [("run", ""), ("never", ""), ("hour", "2026-01-01T05"), ("day", "2026-01-01"), ("week", "2026-W01"),
     ("month", "2026-01")],
)  # fmt: skip
def test_periods(every: str, told: str) -> None:
    assert period(BatchOrder(every=every).every, datetime(2026, 1, 1, 5, 30, tzinfo=UTC)) == told  # type: ignore[arg-type]


def test_a_class_that_the_model_does_not_know_is_named() -> None:
    with pytest.raises(ParamsError, match=r"batches.shop: mix names \['x'\]"):
        order(mix={"x": 1})
    with pytest.raises(ParamsError, match="every class weight 0"):
        order(mix={"a": 0})


@pytest.mark.parametrize(
    "wrong",
    [{"prefix": "/etc"}, {"prefix": "a/../b"}, {"prefix": ""}, {"bucket": "A"}, {"filters": {"policies": ["os"]}},
     {"watermark": "a b:c"}, {"candidates": 0.5}, {"truncation": 0}, {"floor": 2}, {"layout": "zip"}],
)  # fmt: skip
def test_what_can_not_be_ordered(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BatchOrder.model_validate(wrong)
