"""Objects of a batch as a whole, beside those of its parts: a sheet of variations, a catalogue."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.adapters.store import Store
from pipeline.generate.find import columns
from pipeline.generate.layouts import PARQUET_TYPE, Blob
from pipeline.generate.making import Sign, cells
from pipeline.generate.order import Order
from pipeline.generate.receipt import Receipt
from pipeline.model.bundle import load_bundle
from pipeline.orders import Catalogue, Variations

WHITE = 255


def whole(store: Store, order: Order, receipts: Sequence[Receipt], bundle: Path, sign: Sign) -> list[Blob]:
    """Of what was delivered only: a variation that was refused is an empty cell of the sheet."""
    if isinstance(order.asked.purpose, Variations):
        return [_sheet(store, order, receipts, bundle, sign)]
    if isinstance(order.asked.purpose, Catalogue):
        return [catalogue(store, order, receipts, order.asked.purpose)]
    return []


def _sheet(store: Store, order: Order, receipts: Sequence[Receipt], bundle: Path, sign: Sign) -> Blob:
    from pipeline.purposes.variation_sheet import draw_sheet

    plan = cells(order)
    images = load_bundle(bundle).make(plan.recipes, order.asked.truncation)
    delivered = columns(store, order.home, receipts, ["index"])["index"].to_pylist()
    for index in set(range(len(images))) - set(delivered):
        images[index] = WHITE
    out = io.BytesIO()
    draw_sheet(images, plan, f"Variations of {getattr(order.asked.purpose, 'around', '')}").save(out, "PNG")
    return Blob("sheet/variations.png", sign("variations", out.getvalue()), "image/png")


def catalogue(store: Store, order: Order, receipts: Sequence[Receipt], asked: Catalogue) -> Blob:
    from pipeline.purposes.catalogue import Items, write

    told = columns(store, order.home, receipts, ["item", "label", "confidence", "embedding"])
    embeddings = told["embedding"].combine_chunks()
    items = Items(
        names=np.array(told["item"].to_pylist(), str),
        labels=np.array([label or "" for label in told["label"].to_pylist()], str),
        quality=told["confidence"].to_numpy().clip(0, 1),
        embeddings=embeddings.flatten().to_numpy().reshape(len(told), -1),
    )
    segments = order.segments or {"all": dict.fromkeys(order.classes or ("",), 1.0)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalogue.parquet"
        write(path, items, segments, asked.most)
        return Blob("catalogue/catalogue.parquet", path.read_bytes(), PARQUET_TYPE)
