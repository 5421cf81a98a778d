"""Items of a committed batch, as those who review them and who learn from that have to know them."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.store import Store
from pipeline.generate.batches import read_manifest, read_object
from pipeline.generate.find import order_of, receipts_of
from pipeline.generate.regenerate import recipes_of
from pipeline.model.bundle import Bundle
from pipeline.reviews import Enrolled
from pipeline.values import Batch

TOLD = ("arm", "chance", "doubt", "odds")  # columns of batches whose items were taken by preference


def items_of(store: Store, batch: Batch) -> Iterator[Enrolled]:
    """In order. Raises GenloopError where an object of the batch is lost."""
    manifest = read_manifest(store, batch)
    order = order_of(manifest)
    for table in _tables(store, batch, manifest):
        for row in table.to_pylist():
            told: dict[str, Any] = {name: _known(row[name]) for name in TOLD if name in row}
            yield Enrolled(
                item=row["item"],
                batch=batch.id,
                order=order.name,
                place=row["index"],
                label=row["label"],
                segment=order.asked.segment,
                model=order.model,
                version=order.version,
                preference=order.preference,
                **told,
            )


def images_of(store: Store, batch: Batch, items: set[str], bundle: Bundle) -> tuple[list[str], NDArray[np.uint8]]:
    """Of those items that the batch has, the images as its model made them, before they were composed or encoded:
    names, and uint8 [N, C, S, S]. bundle: of the model that made the batch."""
    manifest = read_manifest(store, batch)
    order = order_of(manifest)
    names: list[str] = []
    found: list[NDArray[np.uint8]] = []
    for table in _tables(store, batch, manifest):
        rows = [row for row in table.to_pylist() if row["item"] in items]
        if rows:
            names += [row["item"] for row in rows]
            found.append(bundle.make(recipes_of(order, rows), order.asked.truncation))
    shape = bundle.generator.shape
    none = np.empty((0, shape.channels, shape.size, shape.size), np.uint8)
    return names, np.concatenate([none, *found])


def _tables(store: Store, batch: Batch, manifest: dict[str, Any]) -> Iterator[Any]:
    """Of each part, without what only the search for near-copies needs."""
    import pyarrow.parquet as pq

    for receipt in receipts_of(manifest):
        for written in receipt.named("items"):
            data = io.BytesIO(read_object(store, batch, written.name))
            names = [name for name in pq.read_schema(data).names if name not in ("areas", "embedding")]
            yield pq.read_table(data, columns=names)


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
