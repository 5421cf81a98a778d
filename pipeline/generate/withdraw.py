"""Take a batch, or an item of one, back: readers no more see it, and its record says why.

What told of it stays: the recipe and the hashes, so that it can be made again for who has to look into it.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.adapters.store import Store
from pipeline.errors import GenloopError
from pipeline.generate import layouts
from pipeline.generate.batches import COMMIT, WITHDRAWN, as_json, home, read_manifest, read_object
from pipeline.generate.find import order_of, part_of, receipts_of
from pipeline.generate.gallery import page_blobs
from pipeline.generate.items import Item, small_of
from pipeline.generate.layouts import Blob
from pipeline.generate.making import beside
from pipeline.generate.order import Order
from pipeline.generate.part import claim_of
from pipeline.generate.publish import tell_of
from pipeline.generate.receipt import Receipt, Written, receipt_key
from pipeline.generate.release import Release, Withdrawal
from pipeline.generate.verify import read_release
from pipeline.marks.credentials import Marker
from pipeline.marks.signer import Signer
from pipeline.values import Batch

SEEN = (*layouts.FOLDERS, "gallery", "atlas", "sheet", "catalogue")  # where images can be seen


def withdraw_batch(store: Store, batch: Batch, told: Withdrawal, signer: Signer, certificates: bytes) -> None:
    """First it is no more committed, then its page says why, then its images go. Again, it ends what was cut short."""
    base, manifest = home(batch), read_manifest(store, batch)
    before = read_release(store, batch, certificates)
    if any(not one.item for one in before.withdrawn):
        told = next(one for one in before.withdrawn if not one.item)
    store.put(f"{base}/{WITHDRAWN}", as_json(told.model_dump()), "application/json")
    store.delete([f"{base}/{COMMIT}"])
    receipts = [_without_images(receipt) for receipt in receipts_of(manifest)]
    tell_of(store, _released(before, receipts, told, before.batch.items), receipts, signer)
    gone = [key for folder in SEEN for key in store.keys(f"{base}/{folder}/")]
    store.delete(gone)


def withdraw_item(store: Store, batch: Batch, item: str, told: Withdrawal, signer: Signer, certificates: bytes) -> None:
    """The part that has it is written anew without it. Raises GenloopError where the batch has no such item."""
    manifest = read_manifest(store, batch)
    before, order, receipts = read_release(store, batch, certificates), order_of(manifest), receipts_of(manifest)
    place = next((i for i, receipt in enumerate(receipts) if receipt.part == part_of(order, item)), None)
    if place is None:
        raise GenloopError("no such item in this batch", where=item, remedy="`genloop lineage BATCH` tells of it")
    was = receipts[place]
    blobs, now = _part_without(store, batch, order, was, item, before.made_at, signer)
    for blob in blobs:
        store.put(f"{home(batch)}/{blob.name}", blob.data, blob.content_type)
    receipts[place] = now
    told = told.model_copy(update={"item": item})
    commit = tell_of(store, _released(before, receipts, told, before.batch.items - 1), receipts, signer)
    store.put(receipt_key(order, now.part), now.model_dump_json(indent=1).encode(), "application/json")
    store.put(f"{home(batch)}/{COMMIT}", commit, "application/json")
    kept = {written.name for written in now.objects}
    store.delete([f"{home(batch)}/{written.name}" for written in was.objects if written.name not in kept])


def _released(before: Release, receipts: Sequence[Receipt], told: Withdrawal, items: int) -> Release:
    known = (*before.withdrawn, told) if told not in before.withdrawn else before.withdrawn
    objects = {written.name: written.sha256 for receipt in receipts for written in receipt.objects}
    batch = before.batch.model_copy(update={"items": items})
    return before.model_copy(update={"batch": batch, "withdrawn": known, "objects": objects})


def _without_images(receipt: Receipt) -> Receipt:
    kept = tuple(w for w in receipt.objects if w.name.partition("/")[0] not in SEEN)
    return receipt.model_copy(update={"objects": kept})


def _part_without(
    store: Store, batch: Batch, order: Order, was: Receipt, item: str, made_at: str, signer: Signer
) -> tuple[list[Blob], Receipt]:
    import pyarrow as pa

    table, files = _read(store, batch, order, was)
    names = table.column("item").to_pylist()
    if item not in names:
        raise GenloopError("no such item in this batch", where=item, remedy="it may be withdrawn already")
    rows = [row for row, name in enumerate(names) if name != item]
    table = table.take(pa.array(rows))
    items = [_item(one, files[row], row) for one, row in zip(table.to_pylist(), rows, strict=True)]
    place, form, marker = f"{was.part:05d}-of-{order.parts:05d}", order.asked.image.format, Marker(signer)

    def sign(name: str, png: bytes) -> bytes:
        return marker.mark(png, "image/png", claim_of(order, 0, f"{order.id} {name}", made_at))

    told = layouts.parquet_bytes(table)
    blobs = [
        *layouts.pack(order.asked.layout, form, place, items, table),
        Blob(layouts.named("items", f"part-{place}", told, "parquet"), told, layouts.PARQUET_TYPE),
        *page_blobs(order, was.part, items, sign),
        *beside(order, was.part, items, sign),
    ]
    objects = (*was.named("dropped"), *(Written.of(blob) for blob in blobs))
    counts = Counter(label or "" for _, label in {(one.index, one.label) for one in items})
    return blobs, was.model_copy(update={"items": len(items), "classes": dict(counts), "objects": objects})


def _read(store: Store, batch: Batch, order: Order, receipt: Receipt) -> tuple[Any, list[bytes]]:
    """The table of a part, and the file of each row."""
    import pyarrow.parquet as pq

    (listed,) = receipt.named("items")
    table = pq.read_table(io.BytesIO(read_object(store, batch, listed.name)))
    delivered = [w for folder in layouts.FOLDERS for w in receipt.named(folder)]
    blobs = [Blob(w.name, read_object(store, batch, w.name), "") for w in delivered]
    return table, list(layouts.contents(order.asked.layout, blobs))


def _item(told: dict[str, Any], data: bytes, row: int) -> Item:
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image)
    return Item(
        id=told["item"],
        index=told["index"],
        row=row,
        label=told["label"],
        data=data,
        pixels=told["pixels"],
        width=told["width"],
        height=told["height"],
        facts=json.loads(told["facts"]),
        small=small_of(pixels if pixels.ndim == 3 else pixels[:, :, None]),
    )
