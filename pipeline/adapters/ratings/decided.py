"""What was decided of the feedback, why, and what became of it. All on an open connection."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from pipeline.adapters.ratings.log import utc
from pipeline.adapters.ratings.tables import decisions


def add(connection: Connection, inputs: dict[str, Any], decision: dict[str, Any]) -> int:
    """Its number."""
    number = int(connection.scalar(select(func.coalesce(func.max(decisions.c.id), 0))) or 0) + 1
    told = {"inputs": json.dumps(inputs), "decision": json.dumps(decision)}
    connection.execute(insert(decisions).values(id=number, at=datetime.now(UTC), **told))
    return number


def conclude(connection: Connection, number: int, outcome: dict[str, Any]) -> None:
    connection.execute(update(decisions).where(decisions.c.id == number).values(outcome=json.dumps(outcome)))


def every(connection: Connection) -> list[dict[str, Any]]:
    """The newest first."""
    return [
        {
            "id": row.id,
            "at": utc(row.at).isoformat(timespec="seconds"),
            "inputs": json.loads(row.inputs),
            "decision": json.loads(row.decision),
            "outcome": json.loads(row.outcome) if row.outcome else None,
        }
        for row in connection.execute(select(decisions).order_by(decisions.c.id.desc()))
    ]
