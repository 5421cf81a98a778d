"""Snapshots without what is forgotten: parts that hold some of it are written anew, the others stay as they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pipeline import pixels
from pipeline.collect.content import content_id, with_content
from pipeline.collect.ledger import Unit, name_of, read_ledger, write_ledger
from pipeline.collect.parts import changed_part
from pipeline.files import link, recover, replacing_folder, write_json
from pipeline.tombstones import Tombstones
from pipeline.values import Part, Snapshot

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

Places = Counter[tuple[str, str]]  # items by source and unit


class _Left(NamedTuple):
    """What is left of a part, and of which units something went."""

    part: Part | None
    gone: Places


@dataclass(frozen=True)
class Eraser:
    """Each part is read and written once, however many snapshots share it. scratch: a folder for what is written."""

    tombstones: Tombstones
    kept: Path
    scratch: Path
    _left: dict[str, _Left] = field(default_factory=dict)

    def holds(self, snapshot: Snapshot, files: Mapping[str, Path]) -> bool:
        return any(self._part(part, files[part.name]).gone for part in snapshot.parts)

    def erase(self, snapshot: Snapshot, files: Mapping[str, Path], out: Path) -> tuple[Snapshot, Places]:
        """The snapshot's folder without what is forgotten, in the empty folder `out`. files: of its parts, by name."""
        (out / "parts").mkdir()
        parts, gone = set[Part](), Places()
        for part in snapshot.parts:
            left = self._part(part, files[part.name])
            gone += left.gone
            if left.part:
                parts.add(left.part)
                where = self.scratch / left.part.name if left.gone else files[part.name]
                link(where, out / "parts" / left.part.name)
        ordered = tuple(sorted(parts, key=lambda part: part.name))
        found = Snapshot(
            id=content_id(ordered),
            items=sum(part.items for part in ordered),
            ignored=snapshot.ignored,
            forgotten=snapshot.forgotten + gone.total(),
            parts=ordered,
            sources=snapshot.sources,
        )
        write_json(out / "snapshot.json", found.model_dump(mode="json"))
        return found, gone

    def _part(self, part: Part, path: Path) -> _Left:
        if part.name not in self._left:
            self._left[part.name] = self._without(part, path)
        return self._left[part.name]

    def _without(self, part: Part, path: Path) -> _Left:
        leaving = self.tombstones.rows(path)
        if not leaving.any():
            return _Left(with_content(part, path), Places())
        gone = Places()

        def change(table: pa.Table) -> tuple[pa.Table, NDArray[np.int64]]:
            left = table.filter(leaving)
            gone.update(zip(left["source"].to_pylist(), left["unit"].to_pylist(), strict=True))
            rows = np.flatnonzero(~leaving)
            return table.take(rows), rows

        return _Left(changed_part(self.scratch, self.kept, path, change), gone)


def erase_here(eraser: Eraser, folder: Path, ledgers: Path) -> None:
    """The same for the snapshot that stands in `folder`, with what it was read from."""
    recover(folder)
    snapshot = Snapshot.model_validate_json((folder / "snapshot.json").read_text())
    files = {part.name: folder / "parts" / part.name for part in snapshot.parts}
    if not eraser.holds(snapshot, files):
        return
    known = read_ledger(ledgers / f"{name_of(snapshot)}.parquet")
    with replacing_folder(folder) as out:
        left, gone = eraser.erase(snapshot, files, out)
        if known.table is not None:
            units = [_less(unit, gone) for unit in known.units()]
            write_ledger(ledgers / f"{name_of(left)}.parquet", known.keys, units)
    pixels.prune(eraser.kept, (part.name for part in left.parts))


def _less(unit: Unit, gone: Places) -> Unit:
    return unit._replace(forgotten=unit.forgotten + gone[unit.source, unit.unit])
