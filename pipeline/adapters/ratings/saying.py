"""What is said, written: each as one more row, and what counts from now on beside it. All on an open transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, and_, bindparam, delete, insert, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.adapters.ratings.grouping import Joinable
from pipeline.adapters.ratings.tables import choices, concerns, identity, items, outcomes, said, verdicts
from pipeline.adapters.ratings.texts import cleaned
from pipeline.errors import GenloopError
from pipeline.reviews import Choice, Outcome, Verdict

BLOCK = 400  # names in one question: SQLite takes 32,766 variables, old ones 999
VERDICT, UNDONE, CHOICE, OUTCOME = "verdict", "undone", "choice", "outcome"


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
    fresh = _fresh(connection, dict(zip(keys, told, strict=True)))
    if not fresh:
        return
    _check_enrolled(connection, {verdict.item for verdict in fresh.values()})
    position = _advance(connection, len(fresh))
    connection.execute(
        insert(said),
        [
            _row(position + n, key, VERDICT, verdict.item, verdict.reviewer, verdict.at, _body(verdict))
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
    if not _fresh(connection, {key: None}):
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
    position = _advance(connection, 1)
    connection.execute(insert(said), [_row(position, key, UNDONE, item, reviewer, datetime.now(UTC), "{}")])
    _, gone = standing.pop()
    pair = (item, reviewer)
    connection.execute(delete(verdicts).where(and_(verdicts.c.item == item, verdicts.c.reviewer == reviewer)))
    if standing:  # what counts again is new to those who read from a position on
        _replace(connection, {pair: (position, standing[-1][1])})
    _count(connection, {pair: gone}, {pair: standing[-1][1]} if standing else {})
    return standing[-1][1] if standing else None


def choose(connection: Connection, told: Choice, key: str) -> None:
    """Raises GenloopError for an item that is not enrolled."""
    if not _fresh(connection, {key: told}):
        return
    _check_enrolled(connection, {told.better, told.worse})
    position = _advance(connection, 1)
    connection.execute(
        insert(said), [_row(position, key, CHOICE, told.better, told.reviewer, told.at, told.model_dump_json())]
    )
    connection.execute(insert(choices).values(position=position, **told.model_dump()))


class Imported(NamedTuple):
    """How many rows were new, and changed; and those of items that are not enrolled, which are left out."""

    new: int
    changed: int
    strangers: Sequence[Outcome | Verdict | Choice]


def import_verdicts(connection: Connection, told: Sequence[Verdict]) -> Imported:
    """The same again says nothing twice."""
    known = _enrolled(connection, {verdict.item for verdict in told})
    by_key = {_key(verdict): verdict for verdict in told if verdict.item in known}
    fresh = _fresh(connection, by_key)
    record(connection, list(fresh.values()), list(fresh))
    return Imported(len(fresh), 0, [verdict for verdict in told if verdict.item not in known])


def tell_outcomes(connection: Connection, file: str, told: Sequence[Outcome]) -> Imported:
    """Of one source, item and time the last one counts; what this file told before changes nothing."""
    by_key = _fresh(connection, {_told_by(file, one): one for one in told})
    known = _enrolled(connection, {one.item for one in by_key.values()})
    before = _counted(connection, {one.item for one in by_key.values()} & known)
    now, new = dict(before), list[tuple[str, Outcome]]()
    for key, one in by_key.items():
        if one.item in known and now.get(_what(one)) != one.model_dump_json():
            now[_what(one)] = one.model_dump_json()
            new.append((key, one))
    if new:
        rows = list(enumerate(new, _advance(connection, len(new))))
        connection.execute(
            insert(said),
            [_row(n, key, OUTCOME, one.item, one.source, one.at, one.model_dump_json()) for n, (key, one) in rows],
        )
        last = {_what(one): {"position": n, "body": one.model_dump_json()} for n, (_, one) in rows}
        names = ("source", "item", "at")
        _upsert(connection, outcomes, [dict(zip(names, what, strict=True)) | row for what, row in last.items()])
    first = len(now) - len(before)
    return Imported(first, len(new) - first, [one for one in by_key.values() if one.item not in known])


def _what(one: Outcome) -> tuple[str, str, datetime]:
    return one.source, one.item, one.at


def _counted(connection: Connection, names: set[str]) -> dict[tuple[str, str, datetime], str]:
    found: dict[tuple[str, str, datetime], str] = {}
    ordered = sorted(names)
    for start in range(0, len(ordered), BLOCK):
        some = select(outcomes).where(outcomes.c.item.in_(ordered[start : start + BLOCK]))
        found |= {(row.source, row.item, _utc(row.at)): row.body for row in connection.execute(some)}
    return found


def _told_by(file: str, one: Outcome) -> str:
    told = f"{file} {one.model_dump_json()}".encode("utf-8", "surrogatepass")
    return f"outcome-{hashlib.sha256(told).hexdigest()}"


def import_choices(connection: Connection, told: Sequence[Choice]) -> Imported:
    """The same again says nothing twice."""
    known = _enrolled(connection, {item for choice in told for item in (choice.better, choice.worse)})
    mine = {_key(choice): choice for choice in told if {choice.better, choice.worse} <= known}
    fresh = _fresh(connection, mine)
    for key, choice in fresh.items():
        choose(connection, choice, key)
    return Imported(len(fresh), 0, [choice for choice in told if not {choice.better, choice.worse} <= known])


def _key(told: Verdict | Choice) -> str:
    return f"import-{hashlib.sha256(told.model_dump_json().encode()).hexdigest()}"


def _fresh(connection: Connection, by_key: dict[str, Any]) -> dict[str, Any]:
    """Without what was said already under the same key."""
    keys, there = list(by_key), set[str]()
    for start in range(0, len(keys), BLOCK):
        there |= set(connection.scalars(select(said.c.key).where(said.c.key.in_(keys[start : start + BLOCK]))))
    return {key: value for key, value in by_key.items() if key not in there}


def _enrolled(connection: Connection, names: set[str]) -> set[str]:
    ordered, found = sorted(names), set[str]()
    for start in range(0, len(ordered), BLOCK):
        found |= set(connection.scalars(select(items.c.item).where(items.c.item.in_(ordered[start : start + BLOCK]))))
    return found


def _check_enrolled(connection: Connection, names: set[str]) -> None:
    if missing := sorted(names - _enrolled(connection, names)):
        raise GenloopError(
            "no such item is in review", where=missing[0], remedy="`genloop review` takes in new batches"
        )


def _advance(connection: Connection, count: int) -> int:
    """The first of so many positions, which are in the order of the transactions that have them."""
    moved = update(identity).values(position=identity.c.position + count).returning(identity.c.position)
    return int(connection.execute(moved).scalar_one()) - count + 1


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
    _upsert(connection, verdicts, values)


def _count(
    connection: Connection, before: dict[tuple[str, str], Verdict], after: dict[tuple[str, str], Verdict]
) -> None:
    """Keep the sums beside each item."""
    sums: dict[str, list[int]] = {}
    for told, sign in ((before, -1), (after, 1)):
        for (item, _), verdict in told.items():
            row = sums.setdefault(item, [0, 0, 0])
            row[0] += sign
            row[1] += sign * likes(verdict)
            row[2] += sign * dislikes(verdict)
    moved = [
        {"of": item, "count": count, "more": more, "less": less}
        for item, (count, more, less) in sorted(sums.items())
        if count or more or less
    ]
    if moved:
        connection.execute(MOVE, moved)


def likes(verdict: Verdict) -> bool:
    return verdict.liking is not None and verdict.liking > 0.5


def dislikes(verdict: Verdict) -> bool:
    return verdict.liking is not None and verdict.liking < 0.5


def _raise_concern(connection: Connection, verdict: Verdict) -> None:
    row = {name: getattr(verdict, name) for name in ("item", "reviewer", "concern", "at")}
    _upsert(connection, concerns, [{**row, "note": verdict.note, "done": False}])
    connection.execute(update(items).where(items.c.item == verdict.item).values(withdrawn=True))


def dialect_of(connection: Connection) -> Any:
    """For an INSERT that knows ON CONFLICT."""
    return postgresql if connection.dialect.name == "postgresql" else sqlite


def _upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    connection.execute(_upserting(dialect_of(connection), table), rows)


@cache
def _upserting(dialect: Any, table: Table) -> Any:
    """Made once: it takes longer to make than to run."""
    new = dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    others = {column.name: new.excluded[column.name] for column in table.columns if column.name not in keys}
    return new.on_conflict_do_update(index_elements=keys, set_=others)


def _row(position: int, key: str, kind: str, item: str, by: str, at: datetime, body: str) -> dict[str, Any]:
    return {"position": position, "key": key, "kind": kind, "item": item, "by": by, "at": at, "body": body}


def _body(verdict: Verdict) -> str:
    return json.dumps(verdict.model_dump(mode="json"))


def settled(verdict: Verdict) -> Verdict:
    """As it can be kept: its time in UTC, its note without what no database holds."""
    try:
        at = verdict.at.astimezone(UTC)
    except OverflowError:
        raise GenloopError(f"{verdict.at} is no time in UTC") from None
    return verdict.model_copy(update={"at": at, "note": cleaned(verdict.note, len(verdict.note))})


def _utc(at: datetime) -> datetime:
    """SQLite forgets the zone."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)
