"""Which of two items is liked better: told, and taken back. All on an open transaction."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, and_, delete, insert, select

from pipeline.adapters.ratings.log import advance, check_enrolled, row_of, unsaid
from pipeline.adapters.ratings.tables import choices, said
from pipeline.reviews import Choice

CHOICE, UNCHOSEN = "choice", "unchosen"


def choose(connection: Connection, told: Choice, key: str) -> None:
    """Raises GenloopError for an item that is not enrolled."""
    if not unsaid(connection, {key: told}):
        return
    check_enrolled(connection, {told.better, told.worse})
    position = advance(connection, 1)
    connection.execute(
        insert(said), [row_of(position, key, CHOICE, told.better, told.reviewer, told.at, told.model_dump_json())]
    )
    connection.execute(insert(choices).values(position=position, **told.model_dump()))


def unchoose(connection: Connection, reviewer: str, chosen: str, key: str) -> bool:
    """A choice, by the key it was told with, counts no more; False where this reviewer made none such."""
    where = and_(said.c.key == chosen, said.c.kind == CHOICE, said.c.by == reviewer)
    found = connection.execute(select(said).where(where)).first()
    if found is None:
        return False
    if unsaid(connection, {key: None}):
        told_at = datetime.now(UTC)
        row = row_of(advance(connection, 1), key, UNCHOSEN, found.item, reviewer, told_at, "{}")
        connection.execute(insert(said), [row])
        connection.execute(delete(choices).where(choices.c.position == found.position))
    return True
