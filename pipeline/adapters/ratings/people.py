"""Who may review. A token is kept as its hash alone: it is 256 random bits, which nobody guesses."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, insert, select, update

from pipeline.adapters.ratings.log import utc
from pipeline.adapters.ratings.tables import reviewers
from pipeline.errors import GenloopError
from pipeline.reviews import Reviewer


class Admitted(NamedTuple):
    """since: the time at which the token was made."""

    reviewer: Reviewer
    since: str


def add(connection: Connection, reviewer: Reviewer) -> str:
    """Its new token."""
    token = secrets.token_urlsafe(32)
    connection.execute(delete(reviewers).where(reviewers.c.name == reviewer.name))
    row = {**reviewer.model_dump(), "token_hash": _hash(token), "since": datetime.now(UTC)}
    connection.execute(insert(reviewers).values(**row))
    return token


def remove(connection: Connection, name: str) -> None:
    """Raises GenloopError where there is none."""
    lets_in = and_(reviewers.c.name == name, reviewers.c.token_hash.is_not(None))
    gone = update(reviewers).where(lets_in).values(token_hash=None)
    if not connection.execute(gone).rowcount:
        raise GenloopError("no such reviewer", where=name, remedy="`genloop reviewer list` names them")


def of_token(connection: Connection, token: str) -> Reviewer | None:
    found = connection.execute(select(reviewers).where(reviewers.c.token_hash == _hash(token))).first()
    return Reviewer(name=found.name, role=found.role) if found else None


def admitted(connection: Connection) -> dict[str, Admitted]:
    rows = connection.execute(select(reviewers).where(reviewers.c.token_hash.is_not(None)).order_by(reviewers.c.name))
    return {row.name: Admitted(Reviewer(name=row.name, role=row.role), utc(row.since).isoformat()) for row in rows}


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
