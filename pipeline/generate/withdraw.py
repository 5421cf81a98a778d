"""Take a batch, or an item of one, back: readers no more see it, and its record says why.

What told of it stays: the recipe and the hashes, so that it can be made again for who has to look into it.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.adapters.store import Store
from pipeline.errors import GenloopError
from pipeline.generate import layouts
from pipeline.generate.batches import COMMIT, RECORD, WITHDRAWN, as_json, home, read_manifest, read_object
from pipeline.generate.find import part_of, receipts_of
from pipeline.generate.gallery import page_blobs
from pipeline.generate.items import Item, small_of
from pipeline.generate.layouts import Blob
from pipeline.generate.making import beside
from pipeline.generate.part import signing
from pipeline.generate.publish import commit_of, tell_of
from pipeline.generate.receipt import Receipt, Written
from pipeline.generate.release import SEEN, Release, Withdrawal, unnamed
from pipeline.generate.verify import read_release, told_record
from pipeline.generate.whole import catalogue
from pipeline.log import log
from pipeline.marks.credentials import Marker
from pipeline.marks.signer import Signer
from pipeline.orders import Catalogue
from pipeline.values import Batch


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
    log("batch withdrawn", logging.WARNING, batch=batch.id, by=told.by, why=told.why)


def withdraw_item(store: Store, batch: Batch, item: str, told: Withdrawal, signer: Signer, certificates: bytes) -> None:
    """The part that has it is written anew without it. Again, it ends what was cut short.

    What the signed record names is what stands: until the new one is written, all begins anew from the old one.
    Raises GenloopError where the batch has no such item.
    """
    before = read_release(store, batch, certificates)
    if all(one.item != item for one in before.withdrawn):
        _write_without(store, batch, item, before, told.model_copy(update={"item": item}), signer)
    elif _is_settled(store, batch, before):
        raise GenloopError("no such item in this batch", where=item, remedy="it is withdrawn already")
    _settle(store, batch, read_release(store, batch, certificates))
    log("item withdrawn", logging.WARNING, batch=batch.id, item=item, by=told.by, why=told.why)


def _settle(store: Store, batch: Batch, told: Release) -> None:
    """Commit what the record names, and delete what it does not."""
    record = read_object(store, batch, RECORD)
    store.put(f"{home(batch)}/{COMMIT}", commit_of(told.batch, record), "application/json")
    store.delete([f"{home(batch)}/{name}" for name in unnamed(store, told)])


def _is_settled(store: Store, batch: Batch, told: Release) -> bool:
    """Whether the commit object tells of the record that is there, and nothing is left that this one does not name."""
    record = hashlib.sha256(read_object(store, batch, RECORD)).hexdigest()
    is_told = told_record(store.get(f"{home(batch)}/{COMMIT}") or b"") == record
    return is_told and not unnamed(store, told)


def _write_without(store: Store, batch: Batch, item: str, before: Release, told: Withdrawal, signer: Signer) -> None:
    order, receipts = before.order, receipts_of(read_manifest(store, batch))
    place = next((i for i, receipt in enumerate(receipts) if receipt.part == part_of(order, item)), None)
    if place is None:
        raise GenloopError("no such item in this batch", where=item, remedy="`genloop lineage BATCH` tells of it")
    blobs, receipts[place] = _part_without(store, batch, before, receipts[place], item, signer)
    for blob in blobs:
        store.put(f"{home(batch)}/{blob.name}", blob.data, blob.content_type)
    more = []
    if isinstance(order.asked.purpose, Catalogue):
        more = [catalogue(store, order, receipts, order.asked.purpose)]
        store.put(f"{home(batch)}/{more[0].name}", more[0].data, more[0].content_type)
    tell_of(store, _released(before, receipts, told, before.batch.items - 1, more), receipts, signer)


def _released(
    before: Release, receipts: Sequence[Receipt], told: Withdrawal, items: int, more: Sequence[Blob] = ()
) -> Release:
    """more: objects that are no part's. A sheet of variations goes: the item stands on it."""
    known = (*before.withdrawn, told) if told not in before.withdrawn else before.withdrawn
    written = [*(one for receipt in receipts for one in receipt.objects), *map(Written.of, more)]
    return before.model_copy(
        update={
            "batch": before.batch.model_copy(update={"items": items}),
            "withdrawn": known,
            "objects": {one.name: one.sha256 for one in written},
        }
    )


def _without_images(receipt: Receipt) -> Receipt:
    kept = tuple(w for w in receipt.objects if w.name.partition("/")[0] not in SEEN)
    return receipt.model_copy(update={"objects": kept})


def _part_without(
    store: Store, batch: Batch, before: Release, was: Receipt, item: str, signer: Signer
) -> tuple[list[Blob], Receipt]:
    import pyarrow as pa

    order = before.order
    table, files = _read(store, batch, before, was.part)
    names = table.column("item").to_pylist()
    if item not in names:
        raise GenloopError("no such item in this batch", where=item, remedy="`genloop lineage BATCH` tells of it")
    rows = [row for row, name in enumerate(names) if name != item]
    table = table.take(pa.array(rows))
    items = [_item(one, files[row], row) for one, row in zip(table.to_pylist(), rows, strict=True)]
    place, form = f"{was.part:05d}-of-{order.parts:05d}", order.asked.image.format
    sign, told = signing(Marker(signer), order, before.made_at), layouts.parquet_bytes(table)
    blobs = [
        *layouts.pack(order.asked.layout, form, place, items, table),
        Blob(layouts.named("items", f"part-{place}", told, "parquet"), told, layouts.PARQUET_TYPE),
        *page_blobs(order, was.part, items, sign),
        *beside(order, was.part, items, sign),
    ]
    objects = (*was.named("dropped"), *(Written.of(blob) for blob in blobs))
    counts = Counter(label or "" for _, label in {(one.index, one.label) for one in items})
    return blobs, was.model_copy(update={"items": len(items), "classes": dict(counts), "objects": objects})


def _read(store: Store, batch: Batch, before: Release, part: int) -> tuple[Any, list[bytes]]:
    """The table of a part as the record names it, and the file of each row."""
    import pyarrow.parquet as pq

    asked = before.order.asked
    (listed,) = (name for name in before.objects if name.startswith(f"items/part-{part:05d}-"))
    table = pq.read_table(io.BytesIO(read_object(store, batch, listed)))
    if asked.layout == "files":
        rows = zip(table.column("item").to_pylist(), table.column("sha256").to_pylist(), strict=True)
        names = [layouts.file_name(part, name, sha256, asked.image.format) for name, sha256 in rows]
    else:
        names = [name for name in before.objects if name.startswith(f"data/part-{part:05d}-")]
    blobs = [Blob(name, read_object(store, batch, name), "") for name in names]
    return table, list(layouts.contents(asked.layout, blobs))


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
