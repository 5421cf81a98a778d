"""Takes batches in. They may be large, and come from where it takes long to read them: meanwhile nobody waits."""

from __future__ import annotations

import hashlib
import json
import tempfile
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, func, insert, select

from pipeline.adapters.ratings.log import dialect_of
from pipeline.adapters.ratings.tables import batches, items, sizes
from pipeline.adapters.ratings.texts import check_held
from pipeline.errors import GenloopError
from pipeline.reviews import Enrolled

IN_MEMORY = 2**24  # bytes of rows, beyond which they wait on the disk
KIND = ("order", "model", "version", "segment")
TEXTS = ("order", "label", "segment", "model", "preference")
Row = dict[str, Any]
Waiting = tempfile.SpooledTemporaryFile[str]


def waiting() -> Waiting:
    """A file for rows, which is gone when it is closed."""
    return tempfile.SpooledTemporaryFile(IN_MEMORY, "w+", encoding="ascii")


class Incoming:
    """Rows of a batch, read to the end before the first is given: an item's rank is its place among all of them.

    There are two shares, each ranked from 0 to 1, so that both come in their proportion: one at random, by the items'
    names alone, with all that were taken without preference, which is to be compared with; the other by how near to
    even the model holds their chance.
    """

    def __init__(self, file: Waiting, batch: str, found: Iterable[Enrolled], random: float) -> None:
        self.sizes: Counter[tuple[Any, ...]] = Counter()
        self._unsure = array("d")
        self._file = file
        for one in found:
            row = _row(one, batch, random)
            self.sizes[tuple(row[name] for name in KIND)] += 1
            if not row["sampled"]:
                self._unsure.append(row["rank"])
            self._file.write(json.dumps(row) + "\n")
        self._unsure = array("d", sorted(self._unsure))

    def __iter__(self) -> Iterator[Row]:
        self._file.seek(0)
        last = max(1, len(self._unsure) - 1)
        for line in self._file:
            row: Row = json.loads(line)
            if not row["sampled"]:
                row["rank"] = bisect_left(self._unsure, row["rank"]) / last
            yield row


def put(connection: Connection, rows: list[Row]) -> None:
    """Those that are there stay as they are: of a process that was killed, or another that does the same."""
    connection.execute(dialect_of(connection).insert(items).on_conflict_do_nothing(), rows)


def finish(connection: Connection, batch: str, kinds: Counter[tuple[Any, ...]]) -> int:
    """Now it is in review; how many of its items are new."""
    if connection.execute(select(batches).where(batches.c.batch == batch)).first():
        return 0
    number = int(connection.scalar(select(func.coalesce(func.max(batches.c.number), 0))) or 0) + 1
    connection.execute(insert(batches).values(batch=batch, number=number))
    counted = [{"batch": batch, **dict(zip(KIND, kind, strict=True)), "items": n} for kind, n in kinds.items()]
    if counted:
        connection.execute(insert(sizes), counted)
    return kinds.total()


def _row(one: Enrolled, batch: str, random: float) -> Row:
    """Raises GenloopError for what no database can hold."""
    for name in TEXTS:
        check_held(getattr(one, name), items.c[name], one.item)
    if one.batch != batch or not abs(one.version) < 2**62:
        raise GenloopError(f"is not of batch {batch} or of no version", where=one.item)
    draw = int(hashlib.sha256(f"sampled {one.item}".encode()).hexdigest()[:13], 16) / 16**13
    again = int(hashlib.sha256(f"rank {one.item}".encode()).hexdigest()[:13], 16) / 16**13
    sampled = draw < random or one.chance is None or one.arm == "control"
    rank = again if sampled else abs((one.chance or 0.0) - 0.5)
    counts = {"said": 0, "likes": 0, "dislikes": 0}
    return {**one.model_dump(), **counts, "sampled": sampled, "rank": rank, "withdrawn": False}
