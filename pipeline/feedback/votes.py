"""How items stand: what all who judged one said of it, together."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from pipeline.reviews import Enrolled, Verdict


class Vote(NamedTuple):
    """since: when it was first judged. balance: verdicts for, less those against; 0: as many, or none of either."""

    since: datetime
    item: Enrolled
    balance: int

    @property
    def accepted(self) -> bool:
        return self.balance > 0

    @property
    def rejected(self) -> bool:
        return self.balance < 0


def votes(judged: Iterable[tuple[Enrolled, Verdict]]) -> list[Vote]:
    """One of each item that was liked or not, in the order in which these were first judged."""
    found: dict[str, Vote] = {}
    for one, verdict in judged:
        if verdict.liking is None:
            continue
        before = found.get(one.item, Vote(verdict.at, one, 0))
        found[one.item] = Vote(min(before.since, verdict.at), one, before.balance + verdict.vote)
    return sorted(found.values(), key=lambda vote: (vote.since, vote.item.item))
