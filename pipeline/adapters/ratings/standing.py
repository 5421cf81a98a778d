"""How items stand with those who judge them. All on an open connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, exists, func, select

from pipeline.adapters.ratings.tables import QUARREL, STANDS, items, verdicts


class Standing(NamedTuple):
    """Of an item: its verdicts, and how many of them are for and against it."""

    verdicts: int
    likes: int
    dislikes: int
    withdrawn: bool

    @property
    def is_disputed(self) -> bool:
        return self.likes == self.dislikes > 0


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
