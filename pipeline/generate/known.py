"""Take note of the images of committed batches, so that they are known when a source brings them back."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pipeline.alike import SIDE
from pipeline.generate.batches import Stores, batches, read_manifest, read_object
from pipeline.generate.receipt import Receipt
from pipeline.generated import note, noted
from pipeline.values import Batch


def unnoted(stores: Stores, folder: Path) -> list[Batch]:
    """Batches that are not noted in `folder` yet, whoever made them. Raises ServiceError."""
    known = set(noted(folder))
    return [batch for batch in batches(stores) if batch.id not in known]


def note_batches(stores: Stores, folder: Path, new: Sequence[Batch], progress: Callable[[int], None]) -> None:
    """From the tables of items, which are a tenth of the images. Raises ServiceError."""
    import pyarrow.parquet as pq

    done = 0
    for batch in new:
        store = stores(batch.bucket)
        hashes, areas = list[str](), [np.zeros((0, SIDE, SIDE), np.uint8)]
        for part in map(Receipt.model_validate, read_manifest(store, batch)["parts"]):
            for written in part.named("items"):
                table = pq.read_table(io.BytesIO(read_object(store, batch, written.name)), columns=["sha256", "areas"])
                hashes += table.column("sha256").to_pylist()
                joined = b"".join(table.column("areas").to_pylist())
                areas.append(np.frombuffer(joined, np.uint8).reshape(-1, SIDE, SIDE))
                progress(done := done + len(table))
        note(folder, batch.id, hashes, np.concatenate(areas))
