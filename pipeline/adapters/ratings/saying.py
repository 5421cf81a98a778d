"""What is said, written: each as one more row, and what counts from now on beside it. All on an open transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, tuple_, update

from pipeline.adapters.ratings.grouping import Joinable
from pipeline.adapters.ratings.log import BLOCK, advance, check_enrolled, row_of, unsaid, upsert
from pipeline.adapters.ratings.tables import concerns, items, said, verdicts
from pipeline.adapters.ratings.texts import cleaned
from pipeline.errors import GenloopError
from pipeline.reviews import Verdict

VERDICT, UNDONE = "verdict", "undone"


MOVE = (
    update(items)
    .where(items.c.item == bindparam("of"))
    .values(
        said=items.c.said + bindparam("count"),
        likes=items.c.likes + bindparam("more"),
        dislikes=items.c.dislikes + bindparam("less"),
    )
)


@dataclass(frozen=True)
class Record(Joinable):
    """Verdicts to be recorded, each with its key."""

    told: tuple[Verdict, ...]
    keys: tuple[str, ...]

    def __call__(self, connection: Connection) -> None:
        record(connection, self.told, self.keys)

    def join(self, others: Sequence[Record]) -> Record:
        both = (self, *others)
        return Record(tuple(v for one in both for v in one.told), tuple(key for one in both for key in one.keys))


def record(connection: Connection, told: Sequence[Verdict], keys: Sequence[str]) -> None:
    """Raises GenloopError for an item that is not enrolled; nothing is written then."""
    fresh = unsaid(connection, dict(zip(keys, told, strict=True)))
    if not fresh:
        return
    check_enrolled(connection, {verdict.item for verdict in fresh.values()})
    position = advance(connection, len(fresh))
    connection.execute(
        insert(said),
        [
            row_of(position + n, key, VERDICT, verdict.item, verdict.reviewer, verdict.at, _body(verdict))
            for n, (key, verdict) in enumerate(fresh.items())
        ],
    )
    last = {(v.item, v.reviewer): (position + n, v) for n, v in enumerate(fresh.values())}
    before = _current(connection, list(last))
    _replace(connection, last)
    _count(connection, before, {pair: verdict for pair, (_, verdict) in last.items()})
    for verdict in fresh.values():
        if verdict.concern:
            _raise_concern(connection, verdict)


def undo(connection: Connection, reviewer: str, item: str, key: str) -> Verdict | None:
    """The verdict before the last one counts again, or none; what counts now."""
    if not unsaid(connection, {key: None}):
        return _current(connection, [(item, reviewer)]).get((item, reviewer))
    rows = connection.execute(
        select(said.c.position, said.c.kind, said.c.body)
        .where(and_(said.c.item == item, said.c.by == reviewer, said.c.kind.in_((VERDICT, UNDONE))))
        .order_by(said.c.position)
    ).all()
    standing: list[tuple[int, Verdict]] = []
    for position, kind, body in rows:
        if kind == VERDICT:
            standing.append((position, Verdict.model_validate_json(body)))
        else:
            standing.pop()
    if not standing:
        return None
    position = advance(connection, 1)
    connection.execute(insert(said), [row_of(position, key, UNDONE, item, reviewer, datetime.now(UTC), "{}")])
    _, gone = standing.pop()
    pair = (item, reviewer)
    connection.execute(delete(verdicts).where(and_(verdicts.c.item == item, verdicts.c.reviewer == reviewer)))
    if standing:  # what counts again is new to those who read from a position on
        _replace(connection, {pair: (position, standing[-1][1])})
    _count(connection, {pair: gone}, {pair: standing[-1][1]} if standing else {})
    return standing[-1][1] if standing else None


def _current(connection: Connection, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Verdict]:
    found: dict[tuple[str, str], Verdict] = {}
    for start in range(0, len(pairs), BLOCK // 2):
        some = tuple_(verdicts.c.item, verdicts.c.reviewer).in_(pairs[start : start + BLOCK // 2])
        for row in connection.execute(select(verdicts).where(some)):
            found[row.item, row.reviewer] = Verdict.model_validate_json(row.body)
    return found


def _replace(connection: Connection, told: dict[tuple[str, str], tuple[int, Verdict]]) -> None:
    values = [
        {
            "item": item,
            "reviewer": reviewer,
            "position": position,
            "at": verdict.at,
            "liking": verdict.liking,
            "body": _body(verdict),
        }
        for (item, reviewer), (position, verdict) in told.items()
    ]
    upsert(connection, verdicts, values)


def _count(
    connection: Connection, before: dict[tuple[str, str], Verdict], after: dict[tuple[str, str], Verdict]
) -> None:
    """Keep the sums beside each item."""
    sums: dict[str, list[int]] = {}
    for told, sign in ((before, -1), (after, 1)):
        for (item, _), verdict in told.items():
            row = sums.setdefault(item, [0, 0, 0])
            row[0] += sign
            row[1] += sign * (verdict.vote > 0)
            row[2] += sign * (verdict.vote < 0)
    moved = [
        {"of": item, "count": count, "more": more, "less": less}
        for item, (count, more, less) in sorted(sums.items())
        if count or more or less
    ]
    if moved:
        connection.execute(MOVE, moved)


def _raise_concern(connection: Connection, verdict: Verdict) -> None:
    row = {name: getattr(verdict, name) for name in ("item", "reviewer", "concern", "at")}
    upsert(connection, concerns, [{**row, "note": verdict.note, "done": False}])
    connection.execute(update(items).where(items.c.item == verdict.item).values(withdrawn=True))


def _body(verdict: Verdict) -> str:
    return json.dumps(verdict.model_dump(mode="json"))


def settled(verdict: Verdict) -> Verdict:
    """As it can be kept: its time in UTC, its note without what no database holds."""
    try:
        at = verdict.at.astimezone(UTC)
    except OverflowError:
        raise GenloopError(f"{verdict.at} is no time in UTC") from None
    return verdict.model_copy(update={"at": at, "note": cleaned(verdict.note, len(verdict.note))})
