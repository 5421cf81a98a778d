"""The units of a source as chunks of items, a few at a time, with what is complete once a chunk is written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from pipeline.collect.door import OPEN, Door
from pipeline.collect.folders import READINGS
from pipeline.collect.items import IGNORED, RawItem, Unsteady
from pipeline.collect.labels import composed, settled
from pipeline.collect.ledger import Unit
from pipeline.collect.parts import Chunk, Known, text
from pipeline.collect.sources import Listing, Reading, listing, read_units
from pipeline.errors import SourceError
from pipeline.settings import Source

CHUNK_ITEMS = 500
CHUNK_BYTES = 8 * 2**20

Recall = Callable[[str], Known | None]  # by sha256


@dataclass(frozen=True)
class Piece:
    """A chunk, and the units that are complete with it.

    A container, which holds many items, is of pieces of its own: `opens` is true of the first, `closes` of the last.
    voids: all of its pieces so far; it is read again.
    labels: of its folders, now that all are known, where they are not what its items have.
    """

    chunk: Chunk
    done: tuple[Unit, ...] = ()
    opens: bool = False
    closes: bool = False
    voids: bool = False
    labels: dict[str, str | None] | None = None


def pieces(
    source: Source,
    workspace: Path,
    max_item_bytes: int,
    contents: Listing,
    units: Iterable[str],
    recall: Recall | None,
    door: Door = OPEN,
) -> Iterator[Piece]:
    """recall: what is known of content already; None where nothing is.

    A file that is gone when its turn comes was removed from the source. Raises SourceError where all are.
    """
    gather = partial(_Gathered, source.name, recall, door)
    plain, gone = gather(), False
    for reading in read_units(source.uri, workspace, max_item_bytes, contents, units):
        if reading.unit in contents.containers:
            if plain.units:
                yield plain.piece()
            yield from _container(source, reading, gather)
        else:
            for item in reading.items():
                plain.add(reading.unit, _ruled(source, item))
            if not reading.gone:
                plain.finish(reading.unit, reading.stamp)
            if plain.full:
                yield plain.piece()
        gone = gone or reading.gone
    if plain.units:
        yield plain.piece()
    if gone:
        listing(source.uri, workspace)


def _container(source: Source, reading: Reading, gather: Callable[[], _Gathered]) -> Iterator[Piece]:
    """Again where it changes meanwhile: of two versions of an archive nothing is mixed."""
    for attempt in range(1, READINGS + 1):
        try:
            yield from _read_once(source, reading, gather())
            return
        except Unsteady as error:
            if attempt == READINGS:
                why = f"{reading.unit} was read {READINGS} times, and each time {error} meanwhile"
                raise SourceError(why, where=source.uri, remedy="run it again when it is whole") from None
            yield Piece(Chunk(source.name, [], [], {}), voids=True)


def _read_once(source: Source, reading: Reading, gathered: _Gathered) -> Iterator[Piece]:
    unit, opens, guesses = reading.unit, True, dict[str, str | None]()
    for item in reading.items():
        if item.guessed and item.problem != IGNORED:
            guesses[item.path.rpartition("/")[0]] = item.label
        if wanted(source, item.path):
            gathered.add(unit, _ruled(source, item))
        if gathered.full:
            yield gathered.piece(opens=opens)
            opens = False
    if reading.gone:
        return
    ruled = bool(source.label or source.label_pattern)
    labels = None if ruled or (found := settled(guesses)) == guesses else found
    gathered.finish(unit, reading.stamp)
    yield gathered.piece(opens=opens, closes=True, labels=labels)


def wanted(source: Source, path: str) -> bool:
    """Whether the source's filter lets a path through."""
    included = not source.include or any(fnmatchcase(path, pattern) for pattern in source.include)
    return included and not any(fnmatchcase(path, pattern) for pattern in source.exclude)


def _ruled(source: Source, item: RawItem) -> RawItem:
    """With the label that the source's rule gives it; without the rights that the source asks for, with a problem."""
    if missing := [right for right in source.require if not getattr(source, right)]:
        item = item._replace(problem=item.problem or f"no {' and no '.join(missing)}: of source {source.name}")
    if source.label:
        return item._replace(label=composed(source.label))
    if source.label_pattern:
        found = re.search(source.label_pattern, item.path)
        return item._replace(label=composed(found[1]) if found and found[1] else None)
    return item


class _Gathered:
    """Items until they are enough for a chunk."""

    def __init__(self, source: str, recall: Recall | None, door: Door) -> None:
        self.source, self.recall, self.door, self.ignored = source, recall, door, 0
        self._begin()

    def _begin(self) -> None:
        self.items: list[RawItem] = []
        self.of: list[str] = []
        self.units: list[Unit] = []
        self.size = 0

    @property
    def full(self) -> bool:
        return len(self.items) >= CHUNK_ITEMS or self.size >= CHUNK_BYTES

    def add(self, unit: str, item: RawItem) -> None:
        if item.problem == IGNORED:
            self.ignored += 1
            return
        self.items.append(item)
        self.of.append(unit)
        self.size += len(item.data)

    def finish(self, unit: str, stamp: str) -> None:
        self.units.append(Unit(self.source, text(unit), stamp, self.ignored))
        self.ignored = 0

    def piece(self, opens: bool = False, closes: bool = False, labels: dict[str, str | None] | None = None) -> Piece:
        known = dict[int, Known]()
        if self.recall:
            for row, item in enumerate(self.items):
                if item.data and (entry := self.recall(hashlib.sha256(item.data).hexdigest())):
                    known[row] = entry
        chunk = Chunk(self.source, self.of, self.items, known, self.door)
        piece = Piece(chunk, tuple(self.units), opens, closes, labels=labels)
        self._begin()
        return piece
