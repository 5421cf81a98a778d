"""Publish: parts first, by a pool of processes, then what tells of them, the commit object last.

Readers look at committed batches only. The same order twice is the same batch; killed at any time, it goes on with the
parts that are missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pipeline.adapters.store import Store
from pipeline.alike import Looks
from pipeline.environment import SIGNING
from pipeline.errors import BatchError, WithdrawnError
from pipeline.generate.batches import (
    CLEANED,
    COMMIT,
    EXCLUDED,
    MANIFEST,
    RECORD,
    STARTED,
    WITHDRAWN,
    Stores,
    as_json,
    committed,
    note_batch,
)
from pipeline.generate.card import card, counts_of, dropped_of, index_page
from pipeline.generate.find import areas_in, columns
from pipeline.generate.gallery import HTML
from pipeline.generate.order import Order, wanted
from pipeline.generate.part import Task, Workplace, make_part, signing
from pipeline.generate.receipt import Receipt, Written, read_receipt, receipt_key
from pipeline.generate.release import HELD, Provenance, Release, release, unnamed
from pipeline.generate.whole import whole
from pipeline.marks.credentials import Marker
from pipeline.marks.jws import sign_json
from pipeline.marks.signer import Signer, make_signer
from pipeline.parallel import each
from pipeline.settings import Costs
from pipeline.values import Batch

IMPORTS = ("torch", "scipy.spatial", "pyarrow.parquet", "c2pa", "PIL.PngImagePlugin", "cryptography.x509")
REASONS = 3  # named where a batch fails

Tell = Callable[[int], None]  # items that are done


def deliver(
    stores: Stores, order: Order, at: Workplace, provenance: Provenance, prices: Costs, tell: Tell = lambda done: None
) -> Batch:
    """Raises BatchError where filters left too few, nothing is visible then; WithdrawnError where it was taken back,
    or cleaned up."""
    done = committed(at.store, order)
    if done:
        return done
    if at.store.get(f"{order.home}/{WITHDRAWN}"):
        remedy = "it does not come back; another seed makes another batch"
        raise WithdrawnError("this batch was withdrawn", where=at.store.uri(order.home), remedy=remedy)
    if at.store.get(f"{order.home}/{CLEANED}"):
        remedy = "its record stands for it; another seed makes another batch"
        raise WithdrawnError("this batch was cleaned up", where=at.store.uri(order.home), remedy=remedy)
    at = replace(at, made_at=_begun(at.store, order))
    receipts = _made(order, at, {}, tell)
    excluded = _excluded(at.store, order, receipts)
    if excluded:
        before = {part: receipts[part] for part in excluded}
        receipts = _made(order, at, excluded, tell)
        _delete_superseded(at.store, order, before, receipts)
    _check_floor(order, receipts)
    return _commit(stores, order, at, receipts, provenance, prices)


def _begun(store: Store, order: Order) -> str:
    """When the batch was first begun: what every part, whenever it is made, is marked with."""
    key = f"{order.home}/{STARTED}"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if store.get(key) is None:
        store.put_new(key, now.encode(), "text/plain")
    return (store.get(key) or now.encode()).decode()


def _made(order: Order, at: Workplace, excluded: dict[int, tuple[int, ...]], tell: Tell) -> list[Receipt]:
    """The receipts of all parts, those that are missing made now."""
    keys = {part: receipt_key(order, part, excluded.get(part, ())) for part in range(order.parts)}
    there = set(at.store.keys(f"{order.home}/receipts/"))
    found = {part: read_receipt(at.store, key) for part, key in keys.items() if key in there}
    missing = [part for part in keys if found.get(part) is None]
    done = sum(receipt.items for receipt in found.values() if receipt)
    tasks = (Task(order, part, at, excluded.get(part, ())) for part in missing)
    for made in each(make_part, tasks, IMPORTS):
        found[made.part] = made
        done += made.items
        tell(done)
    return [receipt for part in keys if (receipt := found[part]) is not None]


def _excluded(store: Store, order: Order, receipts: Sequence[Receipt]) -> dict[int, tuple[int, ...]]:
    """By part, the items that are near-copies of one in a part before; found once, since afterwards they are gone."""
    key = f"{order.home}/{EXCLUDED}"
    if order.parts == 1 or not order.asked.filters.alike or order.around is not None:
        return {}
    known = store.get(key)
    if known is None:
        table = columns(store, order.home, receipts, ["index", "areas"])
        repeats = table.column("index").to_numpy()[Looks(areas_in(table)).repeats()]
        by_part: dict[int, list[int]] = {}
        for one in repeats.tolist():
            by_part.setdefault(one // order.asked.part_items, []).append(one)
        known = as_json({str(part): rows for part, rows in by_part.items()})
        store.put(key, known, "application/json")
    return {int(part): tuple(rows) for part, rows in json.loads(known).items()}


def _delete_superseded(store: Store, order: Order, before: dict[int, Receipt], receipts: Sequence[Receipt]) -> None:
    kept = {written.name for receipt in receipts for written in receipt.objects}
    old = [written.name for receipt in before.values() for written in receipt.objects]
    store.delete([f"{order.home}/{name}" for name in old if name not in kept])


def _check_floor(order: Order, receipts: Sequence[Receipt]) -> None:
    made, names = counts_of(receipts), order.classes or ("",)
    short = [
        f"{made[names[label]]} of {count}" + (f" in class {names[label]}" if order.classes else "")
        for label, count in wanted(order).items()
        if made[names[label]] < order.asked.floor * count
    ]
    if short:
        told = "; ".join(f"{count:,} {why}" for why, count in dropped_of(receipts)[:REASONS])
        raise BatchError(
            f"too few images are left: {', '.join(short[:REASONS])} (floor {order.asked.floor:.0%}); dropped: {told}",
            where=f"batches.{order.name}",
            remedy="raise candidates, ease filters or floor, or train a better model",
        )


def _commit(
    stores: Stores, order: Order, at: Workplace, receipts: Sequence[Receipt], provenance: Provenance, prices: Costs
) -> Batch:
    batch = Batch(
        id=order.id,
        uri=at.store.uri(order.home),
        items=sum(receipt.items for receipt in receipts),
        model=order.model,
        version=order.version,
        bucket=order.asked.bucket,
        prefix=order.asked.prefix,
        order=order.name,
    )
    signer = make_signer(at.signer, at.workspace / SIGNING)
    more = whole(at.store, order, receipts, at.bundle, signing(Marker(signer), order, at.made_at))
    for blob in more:
        at.store.put(f"{order.home}/{blob.name}", blob.data, blob.content_type)
    told = release(batch, order, at.made_at, receipts, list(map(Written.of, more)), provenance, prices)
    record = tell_of(at.store, told, receipts, signer)
    # Of runs that were killed before a part counted: whoever reads the prefix would find its items twice.
    at.store.delete([f"{order.home}/{name}" for name in unnamed(at.store, told, (*HELD, "dropped"))])
    note_batch(stores, batch)
    at.store.put_new(f"{order.home}/{COMMIT}", commit_of(batch, record), "application/json")
    return committed(at.store, order) or batch


def tell_of(store: Store, told: Release, receipts: Sequence[Receipt], signer: Signer) -> bytes:
    """Write what tells of a batch: card, page, manifest, and last the signed record, which is returned."""
    order, batch = told.order, told.batch
    shown = (told, receipts, signer.is_test)
    manifest = {
        "order": order.model_dump(mode="json"),
        "made_at": told.made_at,
        "items": batch.items,
        "dropped": dict(dropped_of(receipts)),
        "classes": dict(counts_of(receipts)),
        "parts": [receipt.model_dump(mode="json") for receipt in receipts],
    }
    others = {
        "README.md": (card(*shown).encode(), "text/markdown; charset=utf-8"),
        "index.html": (index_page(*shown).encode(), HTML),
        MANIFEST: (as_json(manifest), "application/json"),
    }
    hashes = {name: hashlib.sha256(data).hexdigest() for name, (data, _) in others.items()}
    record = sign_json(told.model_copy(update={"objects": told.objects | hashes}).model_dump(mode="json"), signer)
    for name, (data, kind) in {**others, RECORD: (record, "application/jose+json")}.items():
        store.put(f"{order.home}/{name}", data, kind)
    return record


def commit_of(batch: Batch, record: bytes) -> bytes:
    """The commit object."""
    return as_json({"batch": batch.model_dump(), "record": hashlib.sha256(record).hexdigest(), "items": batch.items})
