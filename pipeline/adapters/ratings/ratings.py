"""All that is asked of the feedback's database."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, and_, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from pipeline.adapters.ratings import reading, saying
from pipeline.adapters.ratings.grouping import GroupWriter
from pipeline.adapters.ratings.reading import Progress, Said
from pipeline.adapters.ratings.tables import (
    concerns,
    decisions,
    identity,
    items,
    quarantine,
    reviewers,
    verdicts,
)
from pipeline.errors import GenloopError, ServiceError
from pipeline.reviews import Choice, Enrolled, Outcome, Refused, Reviewer, Tally, Verdict

BLOCK = 2000
TEXT = 2000  # characters kept of a refused row

Found = TypeVar("Found")


class Ratings:
    """Safe to use by many threads. All raise ServiceError in one line where the database does not answer."""

    def __init__(self, engine: Engine, shown: str) -> None:
        self._engine, self._shown, self._writer = engine, shown, GroupWriter(engine)

    def close(self) -> None:
        self._writer.close()
        self._engine.dispose()

    def __enter__(self) -> Ratings:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # Reviewers

    def add_reviewer(self, reviewer: Reviewer) -> str:
        """Its token, told this once; one of that name gets a new one, and the old no more counts."""
        token = secrets.token_urlsafe(32)

        def work(connection: Connection) -> None:
            connection.execute(delete(reviewers).where(reviewers.c.name == reviewer.name))
            row = {**reviewer.model_dump(), "token_hash": _hash(token), "since": datetime.now(UTC)}
            connection.execute(insert(reviewers).values(**row))

        self._write(work)
        return token

    def remove_reviewer(self, name: str) -> None:
        """It comes in no more; what it said stays. Raises GenloopError where there is none."""

        def work(connection: Connection) -> None:
            gone = update(reviewers).where(reviewers.c.name == name).values(token_hash=None)
            if not connection.execute(gone).rowcount:
                raise GenloopError("no such reviewer", where=name, remedy="`genloop reviewer list` names them")

        self._write(work)

    def reviewer_of(self, token: str) -> Reviewer | None:
        """By the token's hash, so that no comparison tells of it."""
        with self._read() as connection:
            found = connection.execute(select(reviewers).where(reviewers.c.token_hash == _hash(token))).first()
        return Reviewer(name=found.name, role=found.role) if found else None

    def reviewers(self) -> list[Reviewer]:
        """Those who may come in."""
        with self._read() as connection:
            rows = connection.execute(
                select(reviewers).where(reviewers.c.token_hash.is_not(None)).order_by(reviewers.c.name)
            )
            return [Reviewer(name=row.name, role=row.role) for row in rows]

    # Items in review

    def enroll(self, batch: str, found: Iterable[Enrolled], random: float) -> int:
        """Take a batch in, whole or not at all; how many of its items are new. random: the share that is drawn at
        random, by their names alone; the others are ranked by how unsure the model is of them."""
        rows = iter(found)

        def work(connection: Connection) -> int:
            if connection.execute(select(items.c.item).where(items.c.batch == batch).limit(1)).first():
                return 0
            count = 0
            while some := list(islice(rows, BLOCK)):
                connection.execute(insert(items), [_row(one, random) for one in some])
                count += len(some)
            connection.execute(text(RANK), {"batch": batch})
            return count

        return int(self._write(work))

    def batches(self, opinions: int = 1) -> list[Progress]:
        """Those that are in review, in order of their ids."""
        with self._read() as connection:
            return sorted(reading.progress(connection, opinions))

    def known(self) -> set[str]:
        """Ids of the batches that are in review."""
        with self._read() as connection:
            return set(connection.scalars(select(items.c.batch).distinct()))

    def item(self, name: str) -> Enrolled | None:
        with self._read() as connection:
            return reading.enrolled(connection, [name]).get(name)

    def is_withdrawn(self, name: str) -> bool:
        with self._read() as connection:
            return bool(connection.scalar(select(items.c.withdrawn).where(items.c.item == name)))

    def withdraw(self, names: Sequence[str] = (), batch: str = "") -> None:
        """Items, or a batch, that are no more to be seen."""
        which = items.c.batch == batch if batch else items.c.item.in_(list(names))
        self._write(lambda connection: connection.execute(update(items).where(which).values(withdrawn=True)))

    def queue(
        self,
        batch: str,
        reviewer: str,
        opinions: int = 1,
        limit: int = 50,
        label: str | None = None,
        sampled: bool | None = None,
        least_doubt: float = 0.0,
    ) -> list[Enrolled]:
        """See `reading.queue`."""
        with self._read() as connection:
            return reading.queue(connection, batch, reviewer, opinions, limit, label, sampled, least_doubt)

    def labels(self, batch: str) -> list[str]:
        """The classes that a batch has."""
        with self._read() as connection:
            found = connection.scalars(select(items.c.label).where(items.c.batch == batch).distinct())
            return sorted(label for label in found if label is not None)

    # Saying

    def record(self, told: Sequence[Verdict], keys: Sequence[str]) -> None:
        """On the disk when it returns, all or none. keys: of the client's, so that a call again says nothing twice.
        Raises GenloopError for an item that is not in review."""
        self._write(saying.Record(tuple(told), tuple(keys)))

    def undo(self, reviewer: str, item: str, key: str) -> Verdict | None:
        """Take the last verdict back; what counts now."""
        found: Verdict | None = self._write(lambda connection: saying.undo(connection, reviewer, item, key))
        return found

    def choose(self, told: Choice, key: str) -> None:
        self._write(lambda connection: saying.choose(connection, told, key))

    def import_rows(self, file: str, rows: Iterable[Outcome | Verdict | Refused]) -> dict[str, int]:
        """Numbers of rows: new, changed, same, refused. Rows of items that are not in review are refused too. The same
        file again changes nothing. Blocks of rows are written each whole, so that memory stays bounded."""
        told, stream = {"new": 0, "changed": 0, "same": 0, "refused": 0}, iter(rows)
        while some := list(islice(stream, BLOCK)):

            def work(connection: Connection, some: list[Outcome | Verdict | Refused] = some) -> dict[str, int]:
                return _import(connection, file, some)

            for name, count in self._write(work).items():
                told[name] += count
        return told

    def refuse(self, file: str, rows: Sequence[Refused]) -> None:
        """Keep rows that are not what they should be."""
        self._write(lambda connection: _put_aside(connection, file, rows))

    def refused(self, file: str = "") -> list[Refused]:
        asked = select(quarantine).order_by(quarantine.c.file, quarantine.c.place)
        with self._read() as connection:
            rows = connection.execute(asked.where(quarantine.c.file == file) if file else asked)
            return [Refused(file=row.file, place=row.place, row=row.row, reason=row.reason) for row in rows]

    # What is known

    def position(self) -> int:
        """Of the last thing that was said; it only grows."""
        with self._read() as connection:
            return int(connection.scalar(select(identity.c.position)) or 0)

    def identity(self) -> str:
        """Names all that was said until now: this database, and its position."""
        with self._read() as connection:
            found = connection.execute(select(identity)).one()
        return f"{found.id}-{found.position}"

    def tallies(self, *by: str, sampled: bool | None = None, order: str | None = None) -> dict[tuple[Any, ...], Tally]:
        """By columns of the items: label, segment, model, version, arm, batch, order."""
        with self._read() as connection:
            return reading.tallies(connection, by, sampled, order)

    def judged(self, since: int = 0) -> Iterator[tuple[Enrolled, Verdict]]:
        with self._read() as connection:
            yield from reading.judged(connection, since)

    def chosen(self, since: int = 0) -> list[Choice]:
        with self._read() as connection:
            return reading.chosen(connection, since)

    def counted(self, since: int = 0) -> Iterator[tuple[Enrolled, Outcome]]:
        with self._read() as connection:
            yield from reading.counted(connection, since)

    def enrolled(self, names: Sequence[str]) -> dict[str, Enrolled]:
        """By their names, those that are in review."""
        with self._read() as connection:
            blocks = (names[start : start + 400] for start in range(0, len(names), 400))
            return {name: one for some in blocks for name, one in reading.enrolled(connection, some).items()}

    def history(self, item: str) -> list[Said]:
        """Who said what of it, and when."""
        with self._read() as connection:
            return reading.history(connection, item)

    def mine(self, reviewer: str, batch: str) -> list[Verdict]:
        """What this reviewer says of a batch, the newest first."""
        asked = (
            select(verdicts.c.body)
            .join(items, items.c.item == verdicts.c.item)
            .where(and_(verdicts.c.reviewer == reviewer, items.c.batch == batch))
            .order_by(verdicts.c.position.desc())
        )
        with self._read() as connection:
            return [Verdict.model_validate_json(body) for body in connection.scalars(asked)]

    # Concerns and decisions

    def open_concerns(self) -> list[Verdict]:
        """Items that are to be withdrawn, and are not yet."""
        with self._read() as connection:
            rows = connection.execute(select(concerns).where(concerns.c.done.is_(False)).order_by(concerns.c.item))
            return [
                Verdict(item=r.item, reviewer=r.reviewer, at=reading.utc(r.at), concern=r.concern, note=r.note)
                for r in rows
            ]

    def close_concern(self, item: str) -> None:
        self._write(
            lambda connection: connection.execute(update(concerns).where(concerns.c.item == item).values(done=True))
        )

    def log_decision(self, inputs: dict[str, Any], decision: dict[str, Any]) -> int:
        """Its number."""

        def work(connection: Connection) -> int:
            number = int(connection.scalar(select(func.coalesce(func.max(decisions.c.id), 0))) or 0) + 1
            row = {
                "id": number,
                "at": datetime.now(UTC),
                "inputs": json.dumps(inputs),
                "decision": json.dumps(decision),
            }
            connection.execute(insert(decisions).values(**row))
            return number

        return int(self._write(work))

    def conclude(self, number: int, outcome: dict[str, Any]) -> None:
        """What became of a decision."""
        told = update(decisions).where(decisions.c.id == number).values(outcome=json.dumps(outcome))
        self._write(lambda connection: connection.execute(told))

    def decisions(self) -> list[dict[str, Any]]:
        """Each with id, at, inputs, decision and outcome, the newest first."""
        with self._read() as connection:
            rows = connection.execute(select(decisions).order_by(decisions.c.id.desc()))
            return [
                {
                    "id": row.id,
                    "at": reading.utc(row.at).isoformat(timespec="seconds"),
                    "inputs": json.loads(row.inputs),
                    "decision": json.loads(row.decision),
                    "outcome": json.loads(row.outcome) if row.outcome else None,
                }
                for row in rows
            ]

    def _write(self, work: Callable[[Connection], Found]) -> Found:
        with self._told():
            found: Found = self._writer(work)
            return found

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._told(), self._engine.connect().execution_options(reads=True) as connection:
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            why = str(error.orig).strip().splitlines()[0]
            raise ServiceError(
                f"the feedback's database failed: {why}", where=self._shown, remedy="try again"
            ) from None


# In each of the two shares of a batch, from 0 to 1, so that both come in their proportion: at random by their names,
# the others by how near to even the model holds their chance.
RANK = """
UPDATE items SET rank = ranked.place FROM (
    SELECT item, percent_rank() OVER (PARTITION BY sampled ORDER BY rank) AS place FROM items WHERE batch = :batch
) AS ranked WHERE items.item = ranked.item
"""


def _row(one: Enrolled, random: float) -> dict[str, Any]:
    draw = int(hashlib.sha256(f"sampled {one.item}".encode()).hexdigest()[:13], 16) / 16**13
    again = int(hashlib.sha256(f"rank {one.item}".encode()).hexdigest()[:13], 16) / 16**13
    sampled = draw < random or one.chance is None
    rank = again if sampled else abs((one.chance or 0.0) - 0.5)
    counts = {"said": 0, "likes": 0, "dislikes": 0}
    return {**one.model_dump(), **counts, "sampled": sampled, "rank": rank, "withdrawn": False}


def _import(connection: Connection, file: str, some: Sequence[Outcome | Verdict | Refused]) -> dict[str, int]:
    refused = [one for one in some if isinstance(one, Refused)]
    outcomes = saying.tell_outcomes(connection, [one for one in some if isinstance(one, Outcome)])
    verdicts = saying.import_verdicts(connection, [one for one in some if isinstance(one, Verdict)])
    strangers = [
        Refused(file=file, place=-1, row=one.model_dump_json(), reason="no such item is in review")
        for one in (*outcomes.strangers, *verdicts.strangers)
    ]
    _put_aside(connection, file, [*refused, *strangers])
    new, changed, bad = outcomes.new + verdicts.new, outcomes.changed, len(refused) + len(strangers)
    return {"new": new, "changed": changed, "refused": bad, "same": len(some) - new - changed - bad}


def _put_aside(connection: Connection, file: str, rows: Sequence[Refused]) -> None:
    """One of no place of its own gets one by its content, so that it is kept once."""
    name = saying.clean(file)[:255]
    values = {
        _place(one): {
            "file": name,
            "place": _place(one),
            "row": saying.clean(one.row)[:TEXT],
            "reason": saying.clean(one.reason)[:TEXT],
        }
        for one in rows
    }
    if values:
        connection.execute(
            delete(quarantine).where(and_(quarantine.c.file == name, quarantine.c.place.in_(list(values))))
        )
        connection.execute(insert(quarantine), list(values.values()))


def _place(one: Refused) -> int:
    if one.place >= 0:
        return one.place
    return -1 - int(hashlib.sha256(one.row.encode()).hexdigest()[:7], 16)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
