"""Validate a snapshot: accepted items, quarantine with reasons, Data Docs and a report."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ValidationError
from pipeline.facts import Facts, paths_of, read_facts, write_rows
from pipeline.files import replacing, replacing_folder, write_json
from pipeline.settings import Validate
from pipeline.validate.items import Verdicts, Why, kinds, near_copies, reasons, verdicts
from pipeline.validate.parts import MODES, summed_up
from pipeline.validate.suite import Totals, judge
from pipeline.values import Snapshot, Validation

if TYPE_CHECKING:
    import pyarrow as pa

QUARANTINED = ("image", "label", "split", "sha256")


def validate(
    settings: Validate, snapshot: Path, accepted: Path, quarantine: Path, docs: Path, report: Path
) -> Validation:
    """Accept or quarantine every item, then judge what is left.

    Raises ValidationError, after quarantine, docs and report are written, where the dataset as a whole fails.
    """
    source = Snapshot.model_validate_json((snapshot / "snapshot.json").read_text())
    facts = read_facts(snapshot)
    found = verdicts(facts, settings, partial(paths_of, snapshot, facts))
    good = found.why == Why.ACCEPTED
    totals = _totals(facts, found, good)
    with replacing_folder(docs) as folder:
        faults = judge(summed_up(facts, good), totals, settings, folder, source.id)
    _write_quarantine(quarantine, snapshot, facts, found, settings)
    validation = Validation(
        snapshot=source.id,
        items=totals.items,
        accepted=totals.accepted,
        rejected=totals.rejected,
        reasons=dict(totals.reasons),
        classes={name: count for name, count in totals.classes.items() if count},
        near_copies=near_copies(facts, good),
    )
    write_json(report, validation.model_dump())
    if faults:
        accepted.unlink(missing_ok=True)
        raise ValidationError(
            f"the dataset fails {len(faults)} check{'s' * (len(faults) > 1)}: {'; '.join(faults)}",
            remedy=f"see {docs / 'index.html'}; thresholds are in params.yaml under validate",
        )
    with replacing(accepted) as temporary:
        write_rows(temporary, facts, good)
    return validation


def _totals(facts: Facts, found: Verdicts, good: NDArray[np.bool_]) -> Totals:
    """A class whose every item was rejected counts with 0: it must not vanish unnoticed."""
    modes = facts.mode.counts(good & ~facts.accepted)
    return Totals(
        items=len(facts),
        accepted=int(good.sum()),
        reasons=kinds(facts, found),
        classes=facts.label.counts(good),
        unknown_modes={name: count for name, count in modes.items() if count and name not in MODES},
    )


def _write_quarantine(folder: Path, snapshot: Path, facts: Facts, found: Verdicts, settings: Validate) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.string()
    image = pa.struct([("bytes", pa.binary()), ("path", text)])
    schema = pa.schema([("image", image), *((name, text) for name in (*QUARANTINED[1:], "reason"))])
    rejected = np.flatnonzero(found.why)
    with replacing_folder(folder) as temporary, (temporary / "reasons.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("path", "reason"))
        with pq.ParquetWriter(temporary / "quarantine.parquet", schema) as writer:
            for part, local, places in facts.by_part(rejected):
                table = _taken(snapshot / "parts" / part, local)
                why = reasons(facts, found, settings, rejected[places])
                writer.write_table(table.append_column("reason", pa.array(why, text)))
                paths = table["image"].combine_chunks().field("path").to_pylist()
                lines.writerows(zip(paths, why, strict=True))


def _taken(path: Path, rows: NDArray[np.int64]) -> pa.Table:
    """Ascending rows of a part; of row groups without any nothing is read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables, begin = [], 0
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            end = begin + file.metadata.row_group(group).num_rows
            here = rows[np.searchsorted(rows, begin) : np.searchsorted(rows, end)]
            if len(here):
                tables.append(file.read_row_group(group, columns=list(QUARANTINED)).take(here - begin))
            begin = end
    return pa.concat_tables(tables)
