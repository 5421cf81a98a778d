"""Validate a snapshot: accepted items, quarantine with reasons, Data Docs and a report."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ValidationError
from pipeline.files import replacing, replacing_folder, write_json
from pipeline.manifest import read_bytes, read_manifest
from pipeline.settings import Validate
from pipeline.validate.items import kind, reasons
from pipeline.validate.suite import Totals, judge
from pipeline.values import Snapshot, Validation

if TYPE_CHECKING:
    import pandas as pd

ACCEPTED = ["sha256", "label", "split", "path", "part", "row", "width", "height", "mode"]
CHUNK_BYTES = 64 * 2**20


def validate(
    settings: Validate, snapshot: Path, accepted: Path, quarantine: Path, docs: Path, report: Path
) -> Validation:
    """Accept or quarantine every item, then judge what is left.

    Raises ValidationError, after quarantine, docs and report are written, where the dataset as a whole fails.
    """
    source = Snapshot.model_validate_json((snapshot / "snapshot.json").read_text())
    manifest = read_manifest(snapshot).to_pandas()
    why = reasons(manifest, settings)
    kept, rejected = manifest[why.isna()], manifest[why.notna()].assign(reason=why[why.notna()])
    totals = _totals(manifest, kept, rejected)
    with replacing_folder(docs) as folder:
        faults = judge(kept[~kept["accepted"]], totals, settings, folder, source.id)
    _write_quarantine(quarantine, snapshot, rejected)
    validation = Validation(
        snapshot=source.id,
        items=len(manifest),
        accepted=len(kept),
        rejected=len(rejected),
        reasons=dict(totals.reasons),
        classes={name: count for name, count in totals.classes.items() if count},
    )
    write_json(report, validation.model_dump())
    if faults:
        accepted.unlink(missing_ok=True)
        raise ValidationError(
            f"the dataset fails {len(faults)} check{'s' * (len(faults) > 1)}: {'; '.join(faults)}",
            remedy=f"see {docs / 'index.html'}; thresholds are in params.yaml under validate",
        )
    _write_accepted(accepted, kept)
    return validation


def _totals(manifest: pd.DataFrame, kept: pd.DataFrame, rejected: pd.DataFrame) -> Totals:
    """A class whose every item was rejected counts with 0: it must not vanish unnoticed."""
    classes = dict.fromkeys(manifest["label"].dropna().unique(), 0) | kept["label"].value_counts().to_dict()
    kinds = Counter(kind(reason) for reason in rejected["reason"])
    return Totals(
        items=len(manifest),
        reasons={str(name): int(count) for name, count in sorted(kinds.items())},
        classes={str(name): int(count) for name, count in sorted(classes.items())},
        labelled=bool(classes),
    )


def _write_accepted(path: Path, kept: pd.DataFrame) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, whole = pa.string(), pa.int32()
    types = [text, text, text, text, text, pa.int64(), whole, whole, text]
    schema = pa.schema(list(zip(ACCEPTED, types, strict=True)))
    rows = kept[ACCEPTED].sort_values("sha256")
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pandas(rows, schema=schema, preserve_index=False), temporary)


def _write_quarantine(folder: Path, snapshot: Path, rejected: pd.DataFrame) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.string()
    image = pa.struct([("bytes", pa.binary()), ("path", text)])
    schema = pa.schema([("image", image), *((name, text) for name in ("label", "split", "sha256", "reason"))])
    rejected = rejected.sort_values(["part", "row"])
    with replacing_folder(folder) as temporary:
        with pq.ParquetWriter(temporary / "quarantine.parquet", schema) as writer:
            for part, rows in _chunks(rejected):
                contents = read_bytes(snapshot, part, rows["row"].tolist())
                table = pa.Table.from_pandas(rows[schema.names[1:]], preserve_index=False)
                images = [{"bytes": b, "path": p} for b, p in zip(contents, rows["path"], strict=True)]
                writer.write_table(table.add_column(0, "image", pa.array(images, image)).cast(schema))
        with (temporary / "reasons.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("path", "reason"), *zip(rejected["path"], rejected["reason"], strict=True)])


def _chunks(rejected: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Rows of one part at a time, about CHUNK_BYTES of them, so that memory stays small."""
    for part, rows in rejected.groupby("part"):
        for _, chunk in rows.groupby(rows["size_bytes"].cumsum() // CHUNK_BYTES):
            yield str(part), chunk
