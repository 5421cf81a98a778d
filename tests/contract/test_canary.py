"""After a promotion: the old champion makes a share, and comes back where the new one is shown to be worse."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.approval import promoted
from flows.canary import compared, makers
from pipeline.adapters.ratings import Ratings, open_ratings
from pipeline.adapters.registry import SQLITE, Registry
from pipeline.params_file import load_params
from pipeline.reviews import Enrolled, Verdict
from pipeline.settings import Params
from pipeline.values import ModelVersion

PARAMS = Path(__file__).parents[2] / "params.yaml"
AT = datetime(2026, 5, 4, tzinfo=UTC)
OLD, NEW = 1, 2


@pytest.fixture
def params() -> Params:
    return load_params(PARAMS)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Version 1 was champion before version 2."""
    found = Registry(f"{SQLITE}{tmp_path}/mlflow.db", tmp_path / "artifacts")
    for number in (OLD, NEW):
        run = found.new_run(f"run-{number}", {})
        assert found.new_version("generator", run, "model", {"bundle": f"{number}" * 16}) == number
        promoted(found, version(found, number))
    return found


@pytest.fixture
def ratings(tmp_path: Path) -> Iterator[Ratings]:
    with open_ratings(f"sqlite:///{tmp_path}/feedback.db") as opened:
        yield opened


def version(registry: Registry, number: int) -> ModelVersion:
    found = registry.version("generator", number)
    assert found is not None
    return found


def reviewed(ratings: Ratings, number: int, accepted: int, of: int, arm: str, batch: str) -> None:
    """A batch of one version, so many of whose items are accepted, evenly over time."""
    items = [
        Enrolled.model_validate(
            {
                "item": f"{batch}-{place:08d}",
                "batch": batch,
                "order": "samples",
                "place": place,
                "label": "a",
                "segment": "",
                "model": "generator",
                "version": number,
                "arm": arm,
            }
        )
        for place in range(of)
    ]
    ratings.enroll(batch, items, 1.0)
    said = [
        Verdict(
            item=one.item,
            reviewer="ann",
            at=AT + timedelta(seconds=place),
            accepted=place * accepted // of != (place + 1) * accepted // of,
        )
        for place, one in enumerate(items)
    ]
    ratings.record(said, [f"{one.item}-said" for one in said])


def test_the_old_one_takes_part_only_once_it_was_judged(registry: Registry, params: Params, ratings: Ratings) -> None:
    champion = version(registry, NEW)
    assert [one.share for one in makers(registry, params, champion, None)] == [1.0]
    assert [one.share for one in makers(registry, params, champion, ratings)] == [1.0]
    reviewed(ratings, OLD, 60, 100, "", "a" * 16)
    both = makers(registry, params, champion, ratings)
    assert [(one.model.version, one.share, one.canary) for one in both] == [(NEW, 0.8, False), (OLD, 0.2, True)]


@pytest.mark.parametrize(
    ("accepted", "outcome", "champion"), [(160, "roll back", OLD), (360, "settled", NEW), (240, "look on", NEW)]
)
def test_a_worse_one_is_rolled_back_a_better_one_settled(
    registry: Registry, params: Params, ratings: Ratings, accepted: int, outcome: str, champion: int
) -> None:
    reviewed(ratings, OLD, 60, 100, "", "a" * 16)  # before the promotion: not compared
    reviewed(ratings, NEW, accepted, 400, "", "b" * 16)
    reviewed(ratings, OLD, 60, 100, "canary", "c" * 16)
    found = compared(registry, params, ratings)
    assert found is not None and found.outcome == outcome, found
    now = registry.champion("generator")
    assert now is not None and now.version == champion
    again = makers(registry, params, now, ratings)
    assert len(again) == (2 if outcome == "look on" else 1)
    if outcome != "look on":
        assert compared(registry, params, ratings) is None


def test_what_was_taken_without_preference_is_not_compared(
    registry: Registry, params: Params, ratings: Ratings
) -> None:
    reviewed(ratings, NEW, 0, 400, "control", "b" * 16)
    reviewed(ratings, OLD, 100, 100, "canary", "c" * 16)
    found = compared(registry, params, ratings)
    assert found is not None and (found.new, found.outcome) == (0, "look on")
