"""The snapshot that stands already: what of it still holds, and what is known of the items that it had."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import pixels
from pipeline.collect.content import with_content
from pipeline.collect.ledger import Ledger, Unit, name_of, read_ledger
from pipeline.collect.parts import Known, changed_part, text
from pipeline.collect.sources import Listing
from pipeline.files import link
from pipeline.manifest import schema
from pipeline.media.image import Inspection
from pipeline.values import Part, Snapshot

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Plan:
    """held: units whose items stay as they are; gone: of each source, those whose items leave, or None for all of it.

    wanted: of each source, the units to read, in order.
    """

    held: list[Unit]
    gone: dict[str, set[str] | None]
    wanted: dict[str, list[str]]


@dataclass(frozen=True)
class Before:
    folder: Path
    kept: Path
    snapshot: Snapshot | None
    ledger: Ledger

    @property
    def name(self) -> str:
        return name_of(self.snapshot) if self.snapshot else ""

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.snapshot.parts if self.snapshot else ()

    def plan(self, keys: Mapping[str, str], listings: Mapping[str, Listing], others_stay: bool) -> Plan:
        """What the sources have now beside what was read. others_stay: sources that are not listed keep their items."""
        held: list[Unit] = []
        gone: dict[str, set[str] | None] = {}
        stamps = {name: {text(unit): stamp for unit, stamp in found.stamps.items()} for name, found in listings.items()}
        same = {name for name in stamps if self.ledger.keys.get(name) == keys[name]}
        for unit in self.ledger.units():
            here = stamps.get(unit.source)
            if unit.source in same and here and here.get(unit.unit) == unit.stamp:
                del here[unit.unit]
                held.append(unit)
            elif here is None and others_stay:
                held.append(unit)
            elif unit.source in same:
                gone.setdefault(unit.source, set()).add(unit.unit)  # type: ignore[union-attr]
            else:
                gone[unit.source] = None
        for origin in self.snapshot.sources if self.snapshot else ():
            if origin.name not in self.ledger.keys and (origin.name in listings or not others_stay):
                gone[origin.name] = None  # what its items were read from is not known any more
        wanted = {
            name: [unit for unit in found.stamps if text(unit) in stamps[name]] for name, found in listings.items()
        }
        return Plan(held, gone, wanted)

    def remaining(self, gone: Mapping[str, set[str] | None], out: Path) -> Iterator[Part]:
        """The parts in `out`, without the items of what is gone; those that lose none are not read."""
        for part in self.parts:
            path = self.folder / "parts" / part.name
            stay = _staying(path, gone) if gone else None
            if stay is None or stay.all():
                link(path, out / part.name)
                yield with_content(part, path)
            elif left := changed_part(out, self.kept, path, partial(_taken, np.flatnonzero(stay))):
                yield left


class Memory:
    """What was found in the images of a snapshot that are gone from it, by the hash of their bytes as they are read."""

    def __init__(self, before: Before, gone: Mapping[str, set[str] | None]) -> None:
        import pyarrow.compute as pc

        self._before = before
        self._places: dict[str, tuple[int, int]] = {}
        for index, part in enumerate(before.parts if gone else ()):
            path = before.folder / "parts" / part.name
            leaving = ~_staying(path, gone)
            if leaving.any():
                table = _columns(path, ["sha256", "original", "problem"])
                left = np.flatnonzero(leaving & table["problem"].is_null().to_numpy())
                found = pc.coalesce(table["original"], table["sha256"]).take(left).to_pylist()
                self._places |= {sha256: (index, int(row)) for sha256, row in zip(found, left, strict=True)}
        self._part = lru_cache(2)(self._read)

    def __bool__(self) -> bool:
        return bool(self._places)

    def __call__(self, sha256: str) -> Known | None:
        if (place := self._places.get(sha256)) is None:
            return None
        columns, block = self._part(place[0])
        inspection = Inspection(*(column[place[1]] for column in columns))
        return Known(inspection, None if block is None else block[place[1]])

    def _read(self, index: int) -> tuple[list[list[Any]], NDArray[np.uint8] | None]:
        name = self._before.parts[index].name
        table = _columns(self._before.folder / "parts" / name, list(Inspection._fields))
        return [table[column].to_pylist() for column in Inspection._fields], pixels.kept(self._before.kept, name)


def read_before(folder: Path, kept: Path, ledgers: Path) -> Before:
    """The snapshot in `folder`; nothing where there is none, or one that this code can't go on from."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        snapshot = Snapshot.model_validate_json((folder / "snapshot.json").read_text())
        schemas = [pq.read_schema(folder / "parts" / part.name) for part in snapshot.parts]
    except (OSError, ValueError, pa.ArrowInvalid):
        return Before(folder, kept, None, Ledger())
    if not snapshot.sources or any(not found.equals(schema()) for found in schemas):
        return Before(folder, kept, None, Ledger())
    return Before(folder, kept, snapshot, read_ledger(ledgers / f"{name_of(snapshot)}.parquet"))


def _taken(rows: NDArray[np.int64], table: pa.Table) -> tuple[pa.Table, NDArray[np.int64]]:
    return table.take(rows), rows


def _staying(path: Path, gone: Mapping[str, set[str] | None]) -> NDArray[np.bool_]:
    """bool [N]: rows of a part whose unit is not gone."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = _columns(path, ["source", "unit"])
    leaves: NDArray[np.bool_] = np.zeros(len(table), bool)
    for source, units in gone.items():
        mine = pc.equal(table["source"], source)
        if units is not None:
            mine = pc.and_(mine, pc.is_in(table["unit"], pa.array(sorted(units), pa.string())))
        leaves |= mine.to_numpy()
    return ~leaves


def _columns(path: Path, names: list[str]) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(path, columns=names)
