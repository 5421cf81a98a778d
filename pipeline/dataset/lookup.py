"""What is known of single items: where they stand, why they were rejected, and what they are like."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import stages
from pipeline.adapters.versions import Versions
from pipeline.alike import SIDE
from pipeline.dataset.diff import Item
from pipeline.dataset.history import parts_of, versions
from pipeline.errors import GenloopError
from pipeline.files import replacing
from pipeline.generated import read_generated
from pipeline.manifest import find, read_bytes
from pipeline.media.image import areas_of


def rows_by_hash(workspace: Path, hashes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Rows of the current snapshot by their hash, and by that of the file as it was read."""
    wanted = pa.array(hashes, pa.string())
    rows = find(workspace / stages.SNAPSHOT, lambda column: pc.is_in(column, wanted))
    return {sha256: row for row in rows for sha256 in (row["sha256"], row["original"]) if sha256}


def quarantined(workspace: Path, reason: str = "") -> list[tuple[str, Item]]:
    """(reason, item) of every rejected item; of those whose reason begins so."""
    import pyarrow.parquet as pq

    path = workspace / stages.QUARANTINE / "quarantine.parquet"
    if not path.exists():
        raise GenloopError("there is no quarantine yet", where=str(path), remedy="`genloop data update` first")
    with pq.ParquetFile(path) as file:
        table = file.read(["sha256", "image.path", "label", "split", "reason"])
    paths = table["image"].combine_chunks().field("path").to_pylist()
    columns = [table[name].to_pylist() for name in ("reason", "sha256", "label", "split")]
    return [
        (why, Item(sha256, label, split, "", place, path, row))
        for row, (why, sha256, label, split, place) in enumerate(zip(*columns, paths, strict=True))
        if why.startswith(reason)
    ]


def item(workspace: Path, name: str) -> dict[str, Any]:
    """What is known of an item of the current snapshot, by its hash or its first digits. Raises GenloopError."""
    rows = find(workspace / stages.SNAPSHOT, lambda column: pc.starts_with(column, name))
    found = list(rows) if len(name) >= 6 else []
    hashes = {row["sha256"] for row in found}
    if len(hashes) != 1:
        what = f"{len(hashes)} items begin so" if hashes else "no such item"
        raise GenloopError(
            what, where=name, remedy="give at least six digits of its hash, as `genloop data diff` shows"
        )
    row, sha256 = found[0], hashes.pop()
    origin = next(o for o in stages.read_snapshot(workspace).sources if o.name == row["source"])
    rejected = [why for why, entry in quarantined(workspace) if entry.sha256 == sha256]
    names = ("sha256", "label", "split", "format", "mode", "width", "height", "size_bytes", "source", "unit", "path")
    return {name: row[name] for name in names} | {
        "uri": origin.uri,
        "licence": origin.licence,
        "consent": origin.consent,
        "copies": len(found),
        "rejected": rejected[0] if rejected else None,
        "versions": versions_with(workspace, sha256),
        "stripped": row["stripped"],
        "near": _near(workspace, row),
        "picture": str(_picture(workspace, row)),
    }


def _near(workspace: Path, row: dict[str, Any]) -> dict[str, float]:
    """The batches with the images most like the item; up to 1, the two would be taken for copies of each other."""
    own = read_generated(workspace / stages.GENERATED)
    if not own or row["problem"]:
        return {}
    areas = areas_of(read_bytes(workspace / stages.SNAPSHOT, row["part"], [row["row"]]), SIDE)
    return dict(own.nearest(areas[:1]))


def _picture(workspace: Path, row: dict[str, Any]) -> Path:
    """The item's own bytes as a file, to be looked at."""
    data = read_bytes(workspace / stages.SNAPSHOT, row["part"], [row["row"]])[0]
    path = workspace / "runs/items" / f"{row['sha256']}.{(row['format'] or 'bin').lower()}"
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def versions_with(workspace: Path, sha256: str) -> list[int]:
    """Numbers of the versions that are kept and that an item is in; a part that several share is read once."""
    import pyarrow.parquet as pq

    store, looked, found = Versions(workspace), dict[str, bool](), []
    for version in versions(workspace):
        if version.dropped:
            continue
        files = parts_of(store, version)
        for name, path in files.items():
            if name not in looked:
                with pq.ParquetFile(path) as file:
                    column = file.read(["sha256"])["sha256"]
                looked[name] = bool(pc.any(pc.equal(column, sha256)).as_py())
        if any(looked[name] for name in files):
            found.append(version.number)
    return found
