"""Items of a batch: one by its name, or of all of them some columns."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.store import Store
from pipeline.alike import SIDE
from pipeline.errors import GenloopError, ParamsError
from pipeline.generate.batches import read_manifest, read_object
from pipeline.generate.order import Order
from pipeline.generate.receipt import Receipt
from pipeline.reviews import ITEM
from pipeline.values import Batch


def batch_of(item: str) -> str:
    """The batch that an item's name tells. Raises GenloopError where it is none."""
    found = ITEM.fullmatch(item)
    if not found:
        raise GenloopError("is no item's name", where=item, remedy="they look like 0123456789abcdef-00000042")
    return found[1]


def is_item(text: str) -> bool:
    return ITEM.fullmatch(text) is not None


def order_of(manifest: dict[str, Any]) -> Order:
    return Order.model_validate(manifest["order"])


def receipts_of(manifest: dict[str, Any]) -> list[Receipt]:
    return [Receipt.model_validate(part) for part in manifest["parts"]]


def part_of(order: Order, item: str) -> int:
    found = ITEM.fullmatch(item)
    return int(found[2]) // order.asked.part_items if found else -1


def row_of(store: Store, batch: Batch, item: str) -> dict[str, Any] | None:
    """The item's row of the manifest; None where the batch has it no more."""
    manifest = read_manifest(store, batch)
    part = part_of(order_of(manifest), item)
    for receipt in receipts_of(manifest):
        if receipt.part == part:
            for written in receipt.named("items"):
                for row in read_rows(read_object(store, batch, written.name)):
                    if row["item"] == item:
                        return row
    return None


def read_rows(table: bytes) -> list[dict[str, Any]]:
    """Of an item table, without what only the search for near-copies needs."""
    import pyarrow.parquet as pq

    names = [name for name in pq.read_schema(io.BytesIO(table)).names if name != "areas"]
    return list(pq.read_table(io.BytesIO(table), columns=names).to_pylist())


def columns(store: Store, base: str, receipts: Sequence[Receipt], names: list[str]) -> Any:
    """pyarrow.Table of the items of these parts. base: the batch's prefix.

    Raises ParamsError where the items do not have such a column, GenloopError where an object is lost.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = []
    for key in (f"{base}/{written.name}" for receipt in receipts for written in receipt.named("items")):
        data = store.get(key)
        if data is None:
            raise GenloopError("a batch lacks it", where=store.uri(key), remedy="get it back from a backup")
        if missing := sorted(set(names) - set(pq.read_schema(io.BytesIO(data)).names)):
            raise ParamsError(f"its items have no {', '.join(missing)}", where=base, remedy="switch a filter on")
        tables.append(pq.read_table(io.BytesIO(data), columns=names))
    return pa.concat_tables(tables)


def areas_in(table: Any) -> NDArray[np.uint8]:
    """uint8 [N, 16, 16] of a table's column `areas`; none of no table."""
    joined = b"" if table is None else b"".join(table.column("areas").to_pylist())
    return np.frombuffer(joined, np.uint8).reshape(-1, SIDE, SIDE)
