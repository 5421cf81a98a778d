"""What was said, read: what is next in the queue, how many were accepted, and all that can be learned from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, case, exists, func, select

from pipeline.adapters.ratings.log import utc
from pipeline.adapters.ratings.tables import (
    GONE,
    QUARREL,
    SAID,
    STANDS,
    choices,
    items,
    outcomes,
    said,
    sizes,
    verdicts,
)
from pipeline.reviews import Choice, Enrolled, Outcome, Tally, Verdict

LIKED = 0.5  # a liking above it is for the item
WINDOW = 4  # times as many as are asked for, of which each reviewer sees others first
FACTS = tuple(Enrolled.model_fields)

_judged = and_(SAID, items.c.likes + items.c.dislikes > 0)
_accepted = items.c.likes > items.c.dislikes


class Progress(NamedTuple):
    """Of a batch in review. items: without those that are withdrawn; judged: with as many verdicts as are asked for."""

    batch: str
    order: str
    model: str
    version: int
    segment: str
    items: int
    judged: int
    accepted: int
    quarrels: int
    withdrawn: int


class Said(NamedTuple):
    """One line of an item's history."""

    at: datetime
    by: str
    kind: str
    body: str


def progress(connection: Connection, opinions: int) -> list[Progress]:
    """Counts what was said of or withdrawn; how many there are is kept."""
    groups = ("batch", "order", "model", "version", "segment")
    columns = [items.c[name] for name in groups]
    counted = [_sum(and_(STANDS, flag)) for flag in (items.c.said >= opinions, _accepted, QUARREL)]
    asked = select(*columns, *counted).where(SAID).group_by(*columns)
    counts = {tuple(row[:5]): tuple(row[5:]) for row in connection.execute(asked)}
    asked = select(*columns, func.count()).where(GONE).group_by(*columns)
    gone = {tuple(row[:5]): row[5] for row in connection.execute(asked)}
    found = []
    for *kind, size in connection.execute(select(*(sizes.c[name] for name in groups), sizes.c["items"])):
        judged, accepted, quarrels = counts.get(tuple(kind), (0, 0, 0))
        away = gone.get(tuple(kind), 0)
        batch, order, model, version, segment = kind
        found.append(Progress(batch, order, model, version, segment, size - away, judged, accepted, quarrels, away))
    return found


def queue(
    connection: Connection,
    batch: str,
    reviewer: str,
    opinions: int,
    limit: int,
    label: str | None = None,
    sampled: bool | None = None,
    least_doubt: float = 0.0,
) -> list[Enrolled]:
    """Items that this reviewer has not judged, and that want a verdict: quarrels, then those with the fewest verdicts,
    each by rank. Reviewers begin at others of them.

    label: only of it; sampled: only of the random share, or only others; least_doubt: of the model's, at least.
    """
    mine = exists().where(and_(verdicts.c.item == items.c.item, verdicts.c.reviewer == reviewer))
    wanted = [items.c.batch == batch, STANDS, ~mine]
    if label is not None:
        wanted.append(items.c.label == label)
    if sampled is not None:
        wanted.append(items.c.sampled.is_(sampled))
    if least_doubt > 0:
        wanted.append(items.c.doubt >= least_doubt)
    asked = select(items).where(*wanted).order_by(items.c.rank)
    found = list(connection.execute(asked.where(QUARREL).limit(limit)))
    known = {row.item for row in found}
    most = connection.scalar(select(func.max(items.c.said)).where(items.c.batch == batch, STANDS)) or 0
    for said_times in range(min(opinions, most + 1)):
        if len(found) < limit:
            some = connection.execute(asked.where(items.c.said == said_times).limit(limit * WINDOW)).all()
            found += _from(reviewer, [row for row in some if row.item not in known], limit)
    return [_enrolled(row) for row in found[:limit]]


def _from(reviewer: str, rows: list[Any], limit: int) -> list[Any]:
    """The same, begun where this reviewer does."""
    turn = limit * (int(hashlib.sha256(reviewer.encode()).hexdigest(), 16) % WINDOW) % max(1, len(rows))
    return [*rows[turn:], *rows[:turn]]


def tallies(
    connection: Connection, by: Sequence[str], sampled: bool | None, order: str | None
) -> dict[tuple[Any, ...], Tally]:
    """By columns of the items. sampled: only of the random share, or only others. Withdrawn items count as judged."""
    columns = [items.c[name] for name in by]
    asked: Select[Any] = select(*columns, _sum(_judged), _sum(_accepted), _sum(QUARREL)).where(_judged)
    if sampled is not None:
        asked = asked.where(items.c.sampled.is_(sampled))
    if order is not None:
        asked = asked.where(items.c.order == order)
    rows = connection.execute(asked.group_by(*columns) if columns else asked)
    return {
        tuple(row[: len(by)]): Tally(judged=row[-3] or 0, accepted=row[-2] or 0, quarrels=row[-1] or 0) for row in rows
    }


def judged(connection: Connection, since: int, sampled: bool | None) -> Iterator[tuple[Enrolled, Verdict]]:
    """What counts now of what was said after that position, in order. sampled: only of the random share, or others."""
    asked = (
        select(items, verdicts.c.body)
        .join(verdicts, verdicts.c.item == items.c.item)
        .where(verdicts.c.position > since)
        .order_by(verdicts.c.position)
    )
    if sampled is not None:
        asked = asked.where(items.c.sampled.is_(sampled))
    for row in connection.execution_options(yield_per=1000).execute(asked):
        yield _enrolled(row), Verdict.model_validate_json(row.body)


def verdicts_after(connection: Connection, at: datetime | None) -> int:
    """How many count now that were given after it; None: all."""
    asked = select(func.count()).select_from(verdicts)
    return int(connection.scalar(asked if at is None else asked.where(verdicts.c.at > at.astimezone(UTC))) or 0)


def by_day(connection: Connection) -> dict[date, Tally]:
    """Verdicts that like an item or not, by the day in UTC on which they were given."""
    at = func.timezone("UTC", verdicts.c.at) if connection.dialect.name == "postgresql" else verdicts.c.at
    day = func.date(at)
    asked = select(day, func.count(), _sum(verdicts.c.liking > LIKED)).where(verdicts.c.liking.is_not(None))
    rows = connection.execute(asked.group_by(day))
    return {date.fromisoformat(str(when)): Tally(judged=count, accepted=liked) for when, count, liked in rows}


def chosen(connection: Connection, since: int) -> list[Choice]:
    rows = connection.execute(select(choices).where(choices.c.position > since).order_by(choices.c.position))
    return [Choice(better=r.better, worse=r.worse, reviewer=r.reviewer, at=utc(r.at)) for r in rows]


def counted(connection: Connection, since: int) -> Iterator[tuple[Enrolled, Outcome]]:
    asked = (
        select(items, outcomes.c.body)
        .join(outcomes, outcomes.c.item == items.c.item)
        .where(outcomes.c.position > since)
        .order_by(outcomes.c.position)
    )
    for row in connection.execution_options(yield_per=1000).execute(asked):
        yield _enrolled(row), Outcome.model_validate_json(row.body)


def enrolled(connection: Connection, names: Sequence[str]) -> dict[str, Enrolled]:
    found = connection.execute(select(items).where(items.c.item.in_(names)))
    return {row.item: _enrolled(row) for row in found}


def history(connection: Connection, item: str) -> list[Said]:
    rows = connection.execute(select(said).where(said.c.item == item).order_by(said.c.position))
    return [Said(utc(row.at), row.by, row.kind, row.body) for row in rows]


def _enrolled(row: Any) -> Enrolled:
    return Enrolled.model_construct(**{name: getattr(row, name) for name in FACTS})


def _sum(flag: Any) -> Any:
    return func.sum(case((flag, 1), else_=0))
