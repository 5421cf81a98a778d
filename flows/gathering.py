"""All that a decision stands on, gathered from where it lies: database, registry, batches, versions of the dataset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flows import wiring
from flows.beside import SCREEN
from pipeline.errors import GenloopError
from pipeline.reviews import Tally
from pipeline.settings import Params
from pipeline.values import ModelVersion

if TYPE_CHECKING:
    from pipeline.adapters.ratings import Ratings
    from pipeline.adapters.registry import Registry
    from pipeline.feedback.facts import Drifted, Facts, ItemCost, Newest, Training

LAST = 10  # trainings, and batches of the champion, that are looked at


def facts_of(
    workspace: Path, params: Params, registry: Registry, ratings: Ratings, champion: ModelVersion, now: datetime
) -> Facts:
    from pipeline.feedback import facts

    mine = (champion.name, champion.version)
    by_version = ratings.tallies("model", "version")
    trainings = trainings_of(registry, params)
    began = max((training.began for training in trainings), default=None)
    return facts.Facts(
        at=now,
        accepted=facts.rate(by_version.get(mine, Tally())),
        by_class=facts.rates(_named(ratings.tallies("label"))),
        by_segment=facts.rates(_named(ratings.tallies("segment"))),
        by_version=facts.rates({f"{name} v{number}": tally for (name, number), tally in by_version.items()}),
        by_arm=facts.rates(_named(ratings.tallies("arm"))),
        over_time=facts.over_time(ratings.by_day()),
        new=by_version.get(mine, Tally()).judged,
        untrained=ratings.verdicts_after(began),
        unlearned=ratings.position() - _learned_until(registry, params, ratings),
        drift=_drift(workspace, registry, ratings, champion),
        model_days=facts.days_since(registry.began(champion), now),
        data_days=facts.days_since(_data_since(workspace), now),
        item_cost=_item_cost(workspace, ratings, champion, by_version.get(mine, Tally())),
        trained_at=began,
        spent=facts.spent_this_month(trainings, now),
        next=facts.expected(trainings),
        newest=_newest(ratings, params),
    )


def trainings_of(registry: Registry, params: Params) -> list[Training]:
    """The last ones, as their receipts tell."""
    from pipeline.feedback.facts import Training
    from pipeline.generate.release import cost_of

    found = []
    for model in registry.newest(params.promote.name, LAST):
        seconds: dict[str, float] = json.loads(registry.text(model, "seconds.json") or "{}")
        cost = cost_of(seconds, params.costs)
        found.append(Training(began=registry.began(model), hours=cost.total_s / 3600, money=cost.money))
    return found


def _named(tallies: Mapping[tuple[Any, ...], Tally]) -> dict[str, Tally]:
    return {str(key[0]): tally for key, tally in tallies.items() if key[0] not in (None, "")}


def _learned_until(registry: Registry, params: Params, ratings: Ratings) -> int:
    """The position of the last thing that the current preference model was learned from."""
    from pipeline.adapters.preferences import Preferences

    database, _, position = Preferences(registry, params.promote.name).said().rpartition("-")
    return int(position) if database and ratings.identity().startswith(f"{database}-") else 0


def _drift(workspace: Path, registry: Registry, ratings: Ratings, champion: ModelVersion) -> Drifted | None:
    """Of what the champion made and was judged: what was accepted, against all."""
    import tempfile

    from flows.learning import features_of, said_by_all
    from pipeline.feedback.facts import drift
    from pipeline.feedback.gathering import Said
    from pipeline.feedback.votes import votes
    from pipeline.files import sha256_file
    from pipeline.generate.screen import CLASSIFIER

    said = said_by_all(ratings)
    judged = [(one, v) for one, v in said.judged if one.version == champion.version and v.liking is not None]
    with tempfile.TemporaryDirectory() as folder:
        screen = registry.download(champion, SCREEN, Path(folder))
        if screen is None or not judged:
            return None
        only = Said(judged, [], [], {one.item: one for one, _ in judged})
        features = features_of(workspace, registry, only, screen, sha256_file(screen / CLASSIFIER)[:16])
    liked = {vote.item.item for vote in votes(judged) if vote.accepted}
    if not features or not liked & set(features):
        return None
    every, accepted = (
        np.stack([features[n] for n in sorted(names)]) for names in (set(features), liked & set(features))
    )
    return drift(accepted, every)


def _data_since(workspace: Path) -> datetime | None:
    """When the dataset last changed."""
    from pipeline.dataset.history import versions

    try:
        found = versions(workspace)
    except GenloopError:
        return None
    return datetime.fromisoformat(found[-1].at) if found else None


def _item_cost(workspace: Path, ratings: Ratings, champion: ModelVersion, tally: Tally) -> ItemCost | None:
    """Of the champion's batches that are in review, the last ones by their ids' order."""
    from pipeline.feedback.facts import item_cost
    from pipeline.generate.batches import find_batch
    from pipeline.generate.verify import read_release

    money, made = 0.0, 0
    trusted = wiring.trusted_certificates(workspace)
    mine = [one for one in ratings.batches() if (one.model, one.version) == (champion.name, champion.version)]
    for one in mine[:LAST]:
        try:
            batch = find_batch(wiring.stores, one.batch)
            told = read_release(wiring.stores(batch.bucket), batch, trusted)
        except GenloopError:
            continue
        money, made = money + told.cost.money, made + told.batch.items
    return item_cost(money, made, tally)


def _newest(ratings: Ratings, params: Params) -> Newest | None:
    from pipeline.feedback.facts import Newest

    found = ratings.newest(params.review.opinions)
    return Newest(batch=found.batch, items=found.items, judged=found.judged) if found else None
