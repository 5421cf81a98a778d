"""The log of all that is said: only ever added to, each row under a key of its own and at a position."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.adapters.ratings.tables import identity, items, said
from pipeline.errors import GenloopError

BLOCK = 400  # names in one question: SQLite takes 32,766 variables, old ones 999


def unsaid(connection: Connection, by_key: dict[str, Any]) -> dict[str, Any]:
    """Without what was said already under the same key."""
    keys, there = list(by_key), set[str]()
    for start in range(0, len(keys), BLOCK):
        there |= set(connection.scalars(select(said.c.key).where(said.c.key.in_(keys[start : start + BLOCK]))))
    return {key: value for key, value in by_key.items() if key not in there}


def enrolled(connection: Connection, names: set[str]) -> set[str]:
    ordered, found = sorted(names), set[str]()
    for start in range(0, len(ordered), BLOCK):
        found |= set(connection.scalars(select(items.c.item).where(items.c.item.in_(ordered[start : start + BLOCK]))))
    return found


def check_enrolled(connection: Connection, names: set[str]) -> None:
    if missing := sorted(names - enrolled(connection, names)):
        raise GenloopError(
            "no such item is in review", where=missing[0], remedy="`genloop review` takes in new batches"
        )


def advance(connection: Connection, count: int) -> int:
    """The first of so many positions, which are in the order of the transactions that have them."""
    moved = update(identity).values(position=identity.c.position + count).returning(identity.c.position)
    return int(connection.execute(moved).scalar_one()) - count + 1


def row_of(position: int, key: str, kind: str, item: str, by: str, at: datetime, body: str) -> dict[str, Any]:
    return {"position": position, "key": key, "kind": kind, "item": item, "by": by, "at": at, "body": body}


def dialect_of(connection: Connection) -> Any:
    """For an INSERT that knows ON CONFLICT."""
    return postgresql if connection.dialect.name == "postgresql" else sqlite


def upsert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    connection.execute(_upserting(dialect_of(connection), table), rows)


@cache
def _upserting(dialect: Any, table: Table) -> Any:
    """Made once: it takes longer to make than to run."""
    new = dialect.insert(table)
    keys = [column.name for column in table.primary_key]
    others = {column.name: new.excluded[column.name] for column in table.columns if column.name not in keys}
    return new.on_conflict_do_update(index_elements=keys, set_=others)


def utc(at: datetime) -> datetime:
    """SQLite forgets the zone."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)
