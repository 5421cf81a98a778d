"""What is meant to be forgotten, by hashes, a source or a list."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import stages
from pipeline.adapters.versions import Versions
from pipeline.dataset.history import parts_of, versions
from pipeline.errors import GenloopError, ParamsError
from pipeline.files import readable_csv
from pipeline.tombstones import read_tombstones

WHOLE = 64  # digits of a hash


@dataclass(frozen=True)
class Wanted:
    """hashes: of what is kept of each item, and of its file as it was read. items: how many they are.

    shown: whether any was an image, which may have been trained on.
    """

    hashes: frozenset[str]
    items: int
    shown: bool


def wanted(workspace: Path, names: Sequence[str], source: str, file: Path | None) -> Wanted:
    """What is meant by hashes or their first digits, a source's name, and a file with a hash a line or a column sha256.

    A whole hash need not stand anywhere: it is kept out from now on. Nothing at all: what was forgotten before is
    looked for again. Raises ParamsError where one is not clear.
    """
    if not names and not source and not file and not read_tombstones(workspace):
        raise ParamsError("nothing to forget", remedy="give hashes, --source or --list")
    asked = [*(name.lower() for name in names), *(_listed(file) if file else ())]
    found, items, problems = set[str](), set[str](), []
    for table in _known(workspace):
        rows = _meant(table, asked, source)
        items.update(rows["sha256"].to_pylist())
        found.update(rows["sha256"].to_pylist(), rows["original"].drop_null().to_pylist())
        problems += rows["problem"].to_pylist()
    for name in asked:
        matching = {sha256 for sha256 in found if sha256.startswith(name)}
        if not matching and len(name) == WHOLE:
            found.add(name)
            items.add(name)
        elif len(name) < WHOLE and len(matching) != 1:
            what = f"{len(matching)} items begin so" if matching else "no such item in any version"
            raise ParamsError(what, where=name, remedy="give all 64 digits of its hash")
    if source and not found:
        raise ParamsError("no version has an item of that source", where=source, remedy="`genloop data log --json`")
    return Wanted(frozenset(found), len(items), shown=None in problems or not problems)


def _known(workspace: Path) -> list[pa.Table]:
    """Hashes, sources and problems of every part of every version and of the snapshot that stands here; each once."""

    store, files = Versions(workspace), dict[str, Path]()
    for version in versions(workspace):
        with suppress(GenloopError):  # what is lost holds nothing; a remote that does not answer is told of later
            files |= parts_of(store, version)
    files |= {path.name: path for path in (workspace / stages.SNAPSHOT / "parts").glob("*.parquet")}
    tables = []
    for path in files.values():
        with pq.ParquetFile(path) as file:
            tables.append(file.read(["sha256", "original", "source", "problem"]))
    return tables


def _meant(table: pa.Table, asked: Sequence[str], source: str) -> pa.Table:

    if source:
        return table.filter(pc.equal(table["source"], source))
    whole = pa.array([name for name in asked if len(name) == WHOLE], pa.string())
    mask = pc.or_(*(pc.is_in(table[name], whole) for name in ("sha256", "original")))
    for name in (name for name in asked if len(name) < WHOLE):
        mask = pc.or_(mask, pc.starts_with(table["sha256"], name))
        mask = pc.or_(mask, pc.fill_null(pc.starts_with(table["original"], name), False))
    return table.filter(mask)


def _listed(file: Path) -> list[str]:
    with readable_csv(file), file.open(newline="", encoding="utf-8-sig") as text:
        rows = [row for row in csv.reader(text) if row]
    place = rows[0].index("sha256") if rows and "sha256" in rows[0] else 0
    found = [row[place].strip().lower() for row in (rows[1:] if rows and "sha256" in rows[0] else rows)]
    for number, name in enumerate(found, 1):
        if len(name) != WHOLE or not set(name) <= set("0123456789abcdef"):
            raise ParamsError(f"entry {number} is no hash: {name[:70]!r}", where=str(file), remedy="mend it")
    return found
