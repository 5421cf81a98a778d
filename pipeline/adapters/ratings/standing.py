"""How items stand with those who judge them, and choices taken back. All on an open connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, exists, func, insert, select

from pipeline.adapters.ratings.reading import utc
from pipeline.adapters.ratings.saying import CHOICE, _advance, _fresh, _row
from pipeline.adapters.ratings.tables import QUARREL, STANDS, choices, items, reviewers, said, verdicts
from pipeline.reviews import Reviewer

UNCHOSEN = "unchosen"


class Standing(NamedTuple):
    """Of an item: its verdicts, and how many of them are for and against it."""

    verdicts: int
    likes: int
    dislikes: int
    withdrawn: bool

    @property
    def is_disputed(self) -> bool:
        return self.likes == self.dislikes > 0


class Admitted(NamedTuple):
    """since: the time at which the token was made."""

    reviewer: Reviewer
    since: str


def admitted(connection: Connection) -> dict[str, Admitted]:
    rows = connection.execute(select(reviewers).where(reviewers.c.token_hash.is_not(None)).order_by(reviewers.c.name))
    return {row.name: Admitted(Reviewer(name=row.name, role=row.role), utc(row.since).isoformat()) for row in rows}


def standing(connection: Connection, names: Sequence[str]) -> dict[str, Standing]:
    """Of those that are in review."""
    found = connection.execute(select(items).where(items.c.item.in_(names)))
    return {row.item: Standing(row.said, row.likes, row.dislikes, row.withdrawn) for row in found}


def disputed(connection: Connection, batch: str, reviewer: str, limit: int) -> list[str]:
    """Items of which as many say yes as no, and of which this reviewer has said nothing."""
    mine = exists().where(and_(verdicts.c.item == items.c.item, verdicts.c.reviewer == reviewer))
    wanted = (items.c.batch == batch, STANDS, QUARREL, ~mine)
    return list(connection.scalars(select(items.c.item).where(*wanted).order_by(items.c.rank).limit(limit)))


def counts(connection: Connection, reviewer: str) -> dict[str, int]:
    """By batch, items of which this reviewer has said something."""
    asked = (
        select(items.c.batch, func.count())
        .join(verdicts, verdicts.c.item == items.c.item)
        .where(verdicts.c.reviewer == reviewer)
        .group_by(items.c.batch)
    )
    return {batch: int(count) for batch, count in connection.execute(asked)}


def unchoose(connection: Connection, reviewer: str, chosen: str, key: str) -> bool:
    """A choice, by the key it was told with, counts no more; False where this reviewer made none such."""
    where = and_(said.c.key == chosen, said.c.kind == CHOICE, said.c.by == reviewer)
    found = connection.execute(select(said).where(where)).first()
    if found is None:
        return False
    if _fresh(connection, {key: None}):
        told_at = datetime.now(UTC)
        row = _row(_advance(connection, 1), key, UNCHOSEN, found.item, reviewer, told_at, "{}")
        connection.execute(insert(said), [row])
        connection.execute(delete(choices).where(choices.c.position == found.position))
    return True
