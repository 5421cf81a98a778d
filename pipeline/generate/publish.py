"""Publish: parts first, then manifest and preview, the commit object last; readers look at committed batches only."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pipeline.adapters.store import Store
from pipeline.generate.order import Order, items
from pipeline.media.image import encode_png, grid
from pipeline.model.bundle import Bundle
from pipeline.values import Batch

COMMIT = "_COMMITTED.json"


def prefix(order: Order) -> str:
    return f"batches/{order.id}"


def committed(store: Store, order: Order) -> Batch | None:
    """The batch, where this very order was delivered before."""
    found = store.get(f"{prefix(order)}/{COMMIT}")
    return Batch.model_validate(json.loads(found)["batch"]) if found else None


def batches(store: Store) -> Iterator[Batch]:
    """Every batch that is committed."""
    for key in store.keys("batches/"):
        if key.endswith(f"/{COMMIT}") and (found := store.get(key)):
            yield Batch.model_validate(json.loads(found)["batch"])


def notices(batch: str) -> str:
    """Where notes are added to a batch's record after it was committed."""
    return f"batches/{batch}/notices/"


def deliver(store: Store, order: Order, load: Callable[[], Bundle], progress: Callable[[int], None]) -> Batch:
    """Make and upload the parts that are not there yet, then commit. The same order twice is the same batch."""
    done = committed(store, order)
    if done:
        return done
    bundle, base = load(), prefix(order)
    names = [_deliver_part(store, order, bundle, part, progress) for part in range(order.parts)]
    store.put(f"{base}/preview.png", _preview(order, bundle), "image/png")
    manifest = {"order": order.model_dump(), "parts": names, "items": order.count}
    store.put(f"{base}/manifest.json", _json(manifest), "application/json")
    batch = Batch(id=order.id, uri=store.uri(base), items=order.count, model=order.model, version=order.version)
    store.put_new(f"{base}/{COMMIT}", _json({"batch": batch.model_dump(), **manifest}), "application/json")
    return batch


def _deliver_part(
    store: Store, order: Order, bundle: Bundle, part: int, progress: Callable[[int], None]
) -> dict[str, Any]:
    receipt = f"{prefix(order)}/receipts/{part:05d}.json"
    known = store.get(receipt)
    if known:
        return dict(json.loads(known))
    data = part_bytes(order, bundle, part, progress)
    name = f"data/part-{part:05d}-of-{order.parts:05d}.parquet"
    store.put(f"{prefix(order)}/{name}", data, "application/vnd.apache.parquet")
    entry = {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    store.put(receipt, _json(entry), "application/json")
    return entry


def part_bytes(order: Order, bundle: Bundle, part: int, progress: Callable[[int], None] = lambda done: None) -> bytes:
    """One Parquet part: images as PNG in the Hugging Face convention, and what each item was made from."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    index, labels, seeds = items(order, part)
    images = [encode_png(image) for image in bundle.sample(labels, seeds, lambda n: progress(int(index[0]) + n))]
    names = [order.classes[label] if order.classes else None for label in labels]
    files = [{"bytes": data, "path": f"{order.id}-{i:08d}.png"} for i, data in zip(index, images, strict=True)]
    table = pa.table(
        {
            "image": pa.array(files, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            "label": pa.array(names, pa.string()),
            "index": index,
            "seed": seeds,
            "sha256": [hashlib.sha256(data).hexdigest() for data in images],
            "batch": [order.id] * len(index),
            "model": [order.model] * len(index),
            "version": pa.array([order.version] * len(index), pa.int64()),
            "snapshot": [order.snapshot] * len(index),
        }
    )
    features = {"image": {"_type": "Image"}, "label": {"dtype": "string", "_type": "Value"}}
    table = table.replace_schema_metadata({"genloop": json.dumps({"features": features})})
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def _preview(order: Order, bundle: Bundle, side: int = 10) -> bytes:
    _, labels, seeds = items(order, 0)
    chosen = np.linspace(0, len(labels) - 1, min(side * side, len(labels))).astype(int)
    out = io.BytesIO()
    scale = max(1, 48 // bundle.generator.shape.size)
    grid(bundle.sample(labels[chosen], seeds[chosen]), side, scale).save(out, "PNG")
    return out.getvalue()


def _json(content: Any) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False).encode()
