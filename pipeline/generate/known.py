"""Take note of the images of committed batches, so that they are known when a source brings them back."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pipeline.adapters.store import Store
from pipeline.alike import SIDE
from pipeline.errors import GenloopError
from pipeline.generate.publish import batches
from pipeline.generated import note, noted
from pipeline.media.image import areas_of
from pipeline.values import Batch

BLOCK = 1000


def unnoted(store: Store, folder: Path) -> list[Batch]:
    """Batches of the store that are not noted in `folder` yet, whoever made them. Raises ServiceError."""
    known = set(noted(folder))
    return [batch for batch in batches(store) if batch.id not in known]


def note_batches(store: Store, folder: Path, new: Sequence[Batch], progress: Callable[[int], None]) -> None:
    """Raises ServiceError."""
    done = 0
    for batch in new:
        manifest = json.loads(_object(store, f"batches/{batch.id}/manifest.json"))
        hashes, areas = list[str](), [np.zeros((0, SIDE, SIDE), np.uint8)]
        for part in manifest["parts"]:
            for some, images in _images(_object(store, f"batches/{batch.id}/{part['name']}")):
                hashes += some
                areas.append(areas_of(images, SIDE))
                done += len(some)
                progress(done)
        note(folder, batch.id, hashes, np.concatenate(areas))


def _object(store: Store, key: str) -> bytes:
    data = store.get(key)
    if data is None:
        raise GenloopError("a committed batch lacks it", where=store.uri(key), remedy="get it back from a backup")
    return data


def _images(part: bytes) -> list[tuple[list[str], list[bytes]]]:
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(part), columns=["sha256", "image"])
    return [
        (batch.column("sha256").to_pylist(), batch.column("image").field("bytes").to_pylist())
        for batch in table.to_batches(BLOCK)
    ]
