"""Inspected items into parts, each written and noted as soon as it is full."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pipeline.collect.chunks import Piece
from pipeline.collect.ledger import Unit
from pipeline.collect.parts import Rows, changed_part, text, write_group
from pipeline.collect.staging import Entry, Staging
from pipeline.values import Part

PART_ITEMS = 50_000
PART_BYTES = 64 * 2**20  # with the pixels that are kept


class Writer:
    """Where a part ends depends on the items alone, not on when the work was interrupted.

    entries: what is written and noted; a container's parts hold nothing else, so that they can be redone alone.
    """

    def __init__(self, staging: Staging, kept: Path, entries: list[Entry]) -> None:
        self.entries = list(entries)
        self._staging, self._kept = staging, kept
        self._parts: list[Part] = []
        self._units: list[Unit] = []
        self._group: list[Rows] = []
        self._forgotten = Counter[tuple[str, str]]()  # by source and unit
        self._items = self._bytes = 0
        self._inside = False  # a container

    def take(self, piece: Piece, rows: Rows) -> None:
        if piece.voids:
            if self._inside:
                self._drop()
            return
        if piece.opens:
            self.commit()
            self._inside = True
        self._group.append(rows)
        self._units.extend(piece.done)
        for unit, count in rows.forgotten.items():
            self._forgotten[piece.chunk.source, unit] += count
        self._items += len(rows.table)
        self._bytes += rows.table.nbytes + (0 if rows.pixels is None else rows.pixels.nbytes)
        if piece.closes:
            self._inside = False
            self._flush()
            if piece.labels is not None:
                self._relabel(piece.labels)
            self.commit()
        elif self._items >= PART_ITEMS or self._bytes >= PART_BYTES:
            self._flush()
            if not self._inside:
                self.commit()

    def commit(self) -> None:
        """Note the parts that are written, and the units that stand in them."""
        self._flush()
        if self._parts or self._units:
            units = [unit._replace(forgotten=self._forgotten[unit.source, unit.unit]) for unit in self._units]
            self.entries.append(self._staging.add(len(self.entries), self._parts, units))
            self._parts, self._units = [], []
            self._forgotten.clear()

    def _drop(self) -> None:
        """What was taken of the container that is open."""
        noted = {part.name for parts, _ in self.entries for part in parts}
        for part in self._parts:
            if part.name not in noted:
                (self._staging.parts / part.name).unlink(missing_ok=True)
        self._parts, self._units, self._group, self._inside = [], [], [], False
        self._items = self._bytes = 0

    def _flush(self) -> None:
        if self._items:
            self._parts.append(write_group(self._staging.parts, self._kept, self._group))
        self._group, self._items, self._bytes = [], 0, 0

    def _relabel(self, labels: dict[str, str | None]) -> None:
        """The container's parts anew, one at a time, each item with its folder's label."""
        import numpy as np
        import pyarrow as pa

        by_folder = {text(name): label and text(label) for name, label in labels.items()}

        def relabelled(table: pa.Table) -> tuple[pa.Table, np.ndarray]:
            paths = table["image"].combine_chunks().field("path").to_pylist()
            found = pa.array([by_folder.get(path.rpartition("/")[0]) for path in paths], pa.string())
            return table.set_column(1, "label", found), np.arange(len(table))

        folder, parts = self._staging.parts, list(dict.fromkeys(self._parts))
        made = [changed_part(folder, self._kept, folder / part.name, relabelled) for part in parts]
        self._parts = [part for part in made if part]
        for part in set(parts) - set(self._parts):
            (folder / part.name).unlink()
