"""What a collection has read so far, so that one that is killed goes on from there to the same snapshot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.collect.ledger import Unit, read_ledger, write_ledger
from pipeline.files import write_json
from pipeline.values import Part

Entry = tuple[tuple[Part, ...], tuple[Unit, ...]]  # parts, and the units that stand in them and nowhere else


@dataclass(frozen=True)
class Staging:
    """Entries in the order they were made, below `root/<key>`; the key is of all that decides what they become."""

    root: Path
    key: str

    @property
    def folder(self) -> Path:
        return self.root / self.key

    @property
    def parts(self) -> Path:
        return self.folder / "parts"

    def begin(self) -> None:
        """What another collection left is of no use to this one."""
        for other in self.root.glob("*"):
            if other.name != self.key:
                shutil.rmtree(other, ignore_errors=True)
        self.parts.mkdir(parents=True, exist_ok=True)

    def entries(self, current: Callable[[Unit], bool]) -> list[Entry]:
        """Those whose every unit is still `current`, up to the first that is not whole; what follows is deleted."""
        good: list[Entry] = []
        for index in range(len(list(self.folder.glob("*.json")))):
            entry = self._entry(index)
            if entry is None or not all(map(current, entry[1])):
                break
            good.append(entry)
        self._forget(good)
        return good

    def add(self, index: int, parts: Sequence[Part], units: Sequence[Unit]) -> Entry:
        write_ledger(self.folder / f"{index:06}.parquet", {}, units)
        write_json(self.folder / f"{index:06}.json", [part.model_dump() for part in parts])
        return tuple(parts), tuple(units)

    def _entry(self, index: int) -> Entry | None:
        try:
            parts = tuple(Part(**part) for part in json.loads((self.folder / f"{index:06}.json").read_text()))
            ledger = read_ledger(self.folder / f"{index:06}.parquet")
        except (OSError, ValueError):
            return None
        whole = ledger.table is not None and all(_is_whole(self.parts / part.name, part) for part in parts)
        return (parts, tuple(ledger.units())) if whole else None

    def _forget(self, good: Sequence[Entry]) -> None:
        names = {part.name for parts, _ in good for part in parts}
        names |= {f"{index:06}{suffix}" for index in range(len(good)) for suffix in (".json", ".parquet")}
        for path in (*self.folder.iterdir(), *self.parts.iterdir()):
            if path.name not in names and path.is_file():
                path.unlink()


def _is_whole(path: Path, part: Part) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return bool(pq.read_metadata(path).num_rows == part.items)
    except (OSError, pa.ArrowInvalid):
        return False
