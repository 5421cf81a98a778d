"""Take note of the images of committed batches, so that they are known when a source brings them back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pipeline.generate.batches import Stores, batches, home, read_manifest
from pipeline.generate.find import areas_in, columns, receipts_of
from pipeline.generated import note, noted
from pipeline.values import Batch


def unnoted(stores: Stores, folder: Path) -> list[Batch]:
    """Batches that are not noted in `folder` yet, whoever made them. Raises ServiceError."""
    return list(batches(stores, but=noted(folder)))


def note_batches(stores: Stores, folder: Path, new: Sequence[Batch], progress: Callable[[int], None]) -> None:
    """From the tables of items, which are a tenth of the images. Raises ServiceError."""
    done = 0
    for batch in new:
        store = stores(batch.bucket)
        hashes, areas = list[str](), [areas_in(None)]
        for receipt in receipts_of(read_manifest(store, batch)):
            table = columns(store, home(batch), [receipt], ["sha256", "areas"])
            hashes += table.column("sha256").to_pylist()
            areas.append(areas_in(table))
            progress(done := done + len(table))
        note(folder, batch.id, hashes, np.concatenate(areas))
