"""What changed between two snapshots, by the content of their items. Parts that both have are not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ["sha256", "label", "split", "source", "image.path"]

Files = Mapping[str, Path]  # of a snapshot's parts, by name


class Item(NamedTuple):
    """A row of a part's file. was: its label before, where it is relabelled."""

    sha256: str
    label: str | None
    split: str
    source: str
    path: str
    file: Path
    row: int
    was: str | None = None


@dataclass(frozen=True)
class Difference:
    """Items by content: copies of one image are one. Sorted by path."""

    added: list[Item]
    removed: list[Item]
    relabelled: list[Item]

    @property
    def kinds(self) -> dict[str, list[Item]]:
        return {"added": self.added, "removed": self.removed, "relabelled": self.relabelled}

    @property
    def counts(self) -> dict[str, int]:
        return {name: len(items) for name, items in self.kinds.items()}

    @property
    def labels(self) -> dict[str, dict[str, int]]:
        """Of each label, how many were added and removed; a relabelled item counts in both."""
        more = Counter(item.label or "" for item in [*self.added, *self.relabelled])
        less = Counter([*(item.label or "" for item in self.removed), *(item.was or "" for item in self.relabelled)])
        return {name: {"added": more[name], "removed": less[name]} for name in sorted(more.keys() | less.keys())}


def difference(before: Files, after: Files) -> Difference:
    """What `after` has and `before` has not, the other way round, and what both have under another label or split."""
    shared = before.keys() & after.keys()
    old, new = (_items(path for name, path in files.items() if name not in shared) for files in (before, after))
    stay = _among((path for name, path in before.items() if name in shared), old.keys() ^ new.keys())
    added = [copies[0] for sha256, copies in new.items() if sha256 not in old and sha256 not in stay]
    removed = [copies[0] for sha256, copies in old.items() if sha256 not in new and sha256 not in stay]
    changed = [
        copies[0]._replace(was=_labels(old[sha256]))
        for sha256, copies in new.items()
        if sha256 in old and _places(old[sha256]) != _places(copies)
    ]
    return Difference(
        *(sorted(items, key=lambda item: (item.path, item.sha256)) for items in (added, removed, changed))
    )


def _places(copies: Iterable[Item]) -> set[tuple[str | None, str]]:
    return {(item.label, item.split) for item in copies}


def _labels(copies: Iterable[Item]) -> str | None:
    return ", ".join(sorted({item.label for item in copies if item.label is not None})) or None


def _items(paths: Iterable[Path]) -> dict[str, list[Item]]:
    """The copies of each item, by its hash."""
    found: dict[str, list[Item]] = {}
    for path in paths:
        table = _read(path, COLUMNS)
        places = table["image"].combine_chunks().field("path").to_pylist()
        columns = [table[name].to_pylist() for name in ("sha256", "label", "split", "source")]
        for row, (sha256, label, split, source, place) in enumerate(zip(*columns, places, strict=True)):
            found.setdefault(sha256, []).append(Item(sha256, label, split, source, place, path, row))
    return found


def _among(paths: Iterable[Path], hashes: Iterable[str]) -> set[str]:
    """Which of the hashes stand in these parts too, as a copy."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(sorted(hashes), pa.string())
    found = set[str]()
    for path in paths if len(wanted) else ():
        column = _read(path, ["sha256"])["sha256"]
        found.update(column.filter(pc.is_in(column, wanted)).to_pylist())
    return found


def _read(path: Path, columns: list[str]) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:  # by its path alone: read_table takes a folder's name for a partition
        return file.read(columns)
