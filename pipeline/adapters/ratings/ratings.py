"""All that is asked of the feedback's database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, and_, select, update

from pipeline.adapters.ratings import choosing, decided, enrolling, importing, people, reading, saying, standing
from pipeline.adapters.ratings.failures import told as as_told
from pipeline.adapters.ratings.grouping import GroupWriter
from pipeline.adapters.ratings.importing import Row
from pipeline.adapters.ratings.log import utc
from pipeline.adapters.ratings.people import Admitted
from pipeline.adapters.ratings.reading import Progress, Said
from pipeline.adapters.ratings.standing import Standing
from pipeline.adapters.ratings.tables import batches as batches_table
from pipeline.adapters.ratings.tables import (
    concerns,
    identity,
    items,
    verdicts,
)
from pipeline.adapters.ratings.tables import said as said_table
from pipeline.adapters.ratings.texts import check_held
from pipeline.errors import GenloopError
from pipeline.reviews import Choice, Enrolled, Outcome, Refused, Reviewer, Tally, Verdict

BLOCK = 2000

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
        return self._write(partial(people.add, reviewer=reviewer))

    def remove_reviewer(self, name: str) -> None:
        """It comes in no more; what it said stays. Raises GenloopError where there is none."""
        self._write(partial(people.remove, name=name))

    def reviewer_of(self, token: str) -> Reviewer | None:
        """By the token's hash, so that no comparison tells of it."""
        with self._read() as connection:
            return people.of_token(connection, token)

    def reviewers(self) -> list[Reviewer]:
        """Those who may come in."""
        return [one.reviewer for one in self.admitted().values()]

    def admitted(self) -> dict[str, Admitted]:
        """Those who may come in, by name, and since when: one who got a new token is admitted anew."""
        with self._read() as connection:
            return people.admitted(connection)

    # Items in review

    def enroll(self, batch: str, found: Iterable[Enrolled], random: float) -> int:
        """Take a batch in; how many of its items are new. It is in review when all of them are there. Killed before,
        it is taken in by the next call. random: the share that is drawn at random, by their names alone."""
        check_held(batch, batches_table.c.batch)
        if batch in self.known():
            return 0
        with enrolling.waiting() as file:
            rows = enrolling.Incoming(file, batch, found, random)
            stream = iter(rows)
            while some := list(islice(stream, BLOCK)):
                self._write(partial(enrolling.put, rows=some))
            return int(self._write(lambda connection: enrolling.finish(connection, batch, rows.sizes)))

    def batches(self, opinions: int = 1) -> list[Progress]:
        """Those that are in review, in order of their ids."""
        with self._read() as connection:
            return sorted(reading.progress(connection, opinions))

    def newest(self, opinions: int = 1) -> Progress | None:
        """The batch that was taken in last."""
        with self._read() as connection:
            last = connection.scalar(select(batches_table.c.batch).order_by(batches_table.c.number.desc()).limit(1))
            return next((one for one in reading.progress(connection, opinions) if one.batch == last), None)

    def known(self) -> set[str]:
        """Ids of the batches that are in review."""
        with self._read() as connection:
            return set(connection.scalars(select(batches_table.c.batch)))

    def item(self, name: str) -> Enrolled | None:
        with self._read() as connection:
            return reading.enrolled(connection, [name]).get(name)

    def is_withdrawn(self, name: str) -> bool:
        with self._read() as connection:
            return bool(connection.scalar(select(items.c.withdrawn).where(items.c.item == name)))

    def withdraw(self, names: Sequence[str] = (), batch: str = "") -> None:
        """Items, or a batch, that are no more to be seen."""
        gone = update(items).where(items.c.withdrawn.is_(False)).values(withdrawn=True)
        if batch:
            self._write(lambda connection: connection.execute(gone.where(items.c.batch == batch)))
        for start in range(0, len(names), BLOCK):
            self._write(
                partial(Connection.execute, statement=gone.where(items.c.item.in_(names[start : start + BLOCK])))
            )

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

    def standing(self, names: Sequence[str]) -> dict[str, Standing]:
        """How many say what of items, those that are in review."""
        with self._read() as connection:
            blocks = (names[start : start + 400] for start in range(0, len(names), 400))
            return {name: one for some in blocks for name, one in standing.standing(connection, some).items()}

    def disputed(self, batch: str, reviewer: str, limit: int = 50) -> list[str]:
        """Items on which two disagree, and of which this reviewer has said nothing."""
        with self._read() as connection:
            return standing.disputed(connection, batch, reviewer, limit)

    def counts(self, reviewer: str) -> dict[str, int]:
        """By batch, items of which this reviewer has said something."""
        with self._read() as connection:
            return standing.counts(connection, reviewer)

    # Saying

    def record(self, told: Sequence[Verdict], keys: Sequence[str]) -> None:
        """On the disk when it returns, all or none. keys: of the client's, so that a call again says nothing twice.
        Raises GenloopError for an item that is not in review."""
        for key in keys:
            check_held(key, said_table.c.key)
        if len(keys) != len(told):
            raise GenloopError(f"{len(told)} verdicts have {len(keys)} keys")
        self._write(saying.Record(tuple(saying.settled(verdict) for verdict in told), tuple(keys)))

    def undo(self, reviewer: str, item: str, key: str) -> Verdict | None:
        """Take the last verdict back; what counts now."""
        check_held(key, said_table.c.key)
        found: Verdict | None = self._write(lambda connection: saying.undo(connection, reviewer, item, key))
        return found

    def choose(self, told: Choice, key: str) -> None:
        check_held(key, said_table.c.key)
        self._write(lambda connection: choosing.choose(connection, told, key))

    def unchoose(self, reviewer: str, chosen: str, key: str) -> bool:
        """Take a choice back, by the key it was told with; False where this reviewer made none such."""
        check_held(key, said_table.c.key)
        return bool(self._write(lambda connection: choosing.unchoose(connection, reviewer, chosen, key)))

    def import_rows(self, file: str, rows: Iterable[Row]) -> dict[str, int]:
        """Numbers of rows: new, changed, same, refused. file: names it by its content, such as by a hash: what
        it told before it tells no more, whatever was told since. Rows of items that are not in review are refused too.
        The same file again changes nothing. Blocks of rows are written each whole, so that memory stays bounded."""
        told, stream = Counter({"new": 0, "changed": 0, "same": 0, "refused": 0}), iter(rows)
        while some := list(islice(stream, BLOCK)):
            told.update(self._write(partial(importing.take_in, file=file, some=some)))
        return dict(told)

    def refuse(self, file: str, rows: Sequence[Refused]) -> None:
        """Keep rows that are not what they should be."""
        self._write(partial(importing.put_aside, file=file, rows=rows))

    def refused(self, file: str = "") -> list[Refused]:
        with self._read() as connection:
            return importing.refused(connection, file)

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

    def judged(self, since: int = 0, sampled: bool | None = None) -> Iterator[tuple[Enrolled, Verdict]]:
        """See `reading.judged`."""
        with self._read() as connection:
            yield from reading.judged(connection, since, sampled)

    def verdicts_after(self, at: datetime | None) -> int:
        with self._read() as connection:
            return reading.verdicts_after(connection, at)

    def by_day(self) -> dict[date, Tally]:
        with self._read() as connection:
            return reading.by_day(connection)

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
                Verdict(item=r.item, reviewer=r.reviewer, at=utc(r.at), concern=r.concern, note=r.note) for r in rows
            ]

    def close_concern(self, item: str) -> None:
        self._write(
            lambda connection: connection.execute(update(concerns).where(concerns.c.item == item).values(done=True))
        )

    def log_decision(self, inputs: dict[str, Any], decision: dict[str, Any]) -> int:
        """Its number."""
        return self._write(partial(decided.add, inputs=inputs, decision=decision))

    def conclude(self, number: int, outcome: dict[str, Any]) -> None:
        """What became of a decision."""
        self._write(partial(decided.conclude, number=number, outcome=outcome))

    def decisions(self) -> list[dict[str, Any]]:
        """Each with id, at, inputs, decision and outcome, the newest first."""
        with self._read() as connection:
            return decided.every(connection)

    def _write(self, work: Callable[[Connection], Found]) -> Found:
        with as_told(self._shown):
            found: Found = self._writer(work)
            return found

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with as_told(self._shown), self._engine.connect().execution_options(reads=True) as connection:
            yield connection
