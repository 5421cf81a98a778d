"""After a promotion: who makes how much of a batch, and whether the new champion stays."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from pipeline.adapters.approvals import BEFORE, CANARY, OPEN
from pipeline.log import log
from pipeline.settings import Params
from pipeline.values import ModelVersion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.adapters.ratings import Ratings
    from pipeline.adapters.registry import Registry
    from pipeline.feedback.canary import CanaryResult


class Maker(NamedTuple):
    """A model, and its share of each batch. canary: it is the old champion."""

    model: ModelVersion
    share: float
    canary: bool


def makers(registry: Registry, params: Params, champion: ModelVersion, ratings: Ratings | None) -> list[Maker]:
    """The old champion takes part while the comparison is open, and was judged itself: else there is nothing to
    compare with."""
    share = params.feedback.canary.share
    old = _compared(registry, champion)
    if old is None or ratings is None or not share:
        return [Maker(champion, 1.0, False)]
    judged = ratings.tallies("model", "version").get((old.name, old.version))
    if judged is None or judged.judged < params.feedback.learning.least:
        return [Maker(champion, 1.0, False)]
    return [Maker(champion, 1 - share, False), Maker(old, share, True)]


def compared(registry: Registry, params: Params, ratings: Ratings) -> CanaryResult | None:
    """Judge the champion against the one before it, on the batches that both made since; settle it, or roll it back.
    None where nothing is compared."""
    from pipeline.feedback.canary import judge

    champion = registry.champion(params.promote.name)
    old = champion and _compared(registry, champion)
    if champion is None or old is None:
        return None
    new_flags, old_flags = _accepted(ratings, champion, old)
    found = judge(new_flags, old_flags, params.feedback.canary)
    if found.outcome == "settled":
        registry.tag(champion, CANARY, "settled")
    elif found.outcome == "roll back":
        registry.tag(champion, CANARY, "rolled back")
        registry.promote(old)
        log("champion rolled back", logging.WARNING, model=f"{champion.name} v{champion.version}", to=f"v{old.version}")
    return found


def _compared(registry: Registry, champion: ModelVersion) -> ModelVersion | None:
    """The one before it, while that is open."""
    tags = registry.tags(champion)
    if tags.get(CANARY) != OPEN:
        return None
    return registry.version(champion.name, int(tags[BEFORE]))


def _accepted(ratings: Ratings, new: ModelVersion, old: ModelVersion) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """bool [N], [M]: of the orders that both had a share of, whether their items were accepted, in the order in which
    these were judged. Items taken by preference stand against those of the canary that were."""
    import numpy as np

    from pipeline.feedback.votes import votes

    shared = {key[0] for key in ratings.tallies("order", "arm") if key[1] == "canary"}
    flags: dict[int, list[bool]] = {new.version: [], old.version: []}
    for vote in votes(ratings.judged()):
        one = vote.item
        arms = {old.version: ("canary",), new.version: ("preferred", "")}.get(one.version, ())
        if one.model == new.name and one.order in shared and one.arm in arms:
            flags[one.version].append(vote.accepted)
    return np.array(flags[new.version], bool), np.array(flags[old.version], bool)
