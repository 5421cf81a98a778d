"""Finished items, and the tables that tell of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.generate.order import Order
from pipeline.media.encoding import picture
from pipeline.model.recipe import Recipes, Turn
from pipeline.orders import Catalogue

SHOWN = 96  # pixels a side, at most, on a sheet


@dataclass(frozen=True)
class Item:
    """One finished image. row: of the recipe that it was made from; data: the file, marked.

    pixels: the hash of the image's raw pixels, before it was encoded and marked. facts: what else is told of it.
    small: uint8 [H, W, C], of at most 96 pixels a side, to be shown.
    """

    id: str
    index: int
    row: int
    label: str | None
    data: bytes
    pixels: str
    width: int
    height: int
    facts: Mapping[str, Any]
    small: NDArray[np.uint8]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def item_id(order: Order, index: int, variant: str = "") -> str:
    """variant: where several are made of one."""
    return f"{order.id}-{index:08d}" + (f"-{variant}" if variant else "")


def small_of(image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image, shrunk where it is larger than a sheet shows."""
    height, width = image_HWC.shape[:2]
    if max(height, width) <= SHOWN:
        return image_HWC
    from PIL import Image

    scale = SHOWN / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shrunk = np.asarray(picture(image_HWC).resize(size, Image.Resampling.BOX))
    return shrunk if shrunk.ndim == 3 else shrunk[:, :, None]


def pixel_hash(image_HWC: NDArray[np.uint8]) -> str:
    """Of the shape and the raw bytes."""
    return hashlib.sha256(repr(image_HWC.shape).encode() + np.ascontiguousarray(image_HWC).tobytes()).hexdigest()


def item_table(
    order: Order,
    items: Sequence[Item],
    recipes: Recipes,
    measured: Mapping[str, NDArray[Any]],
    features: NDArray[np.float32] | None,
) -> Any:
    """pyarrow.Table: of each item, in order, all that it was made from and what was measured of it.

    recipes and measured: one entry a recipe; an item's is that of its row. features: [N, D], of the dataset's
    classifier, which a catalogue has.
    """
    import pyarrow as pa

    rows = np.array([item.row for item in items], np.int64)
    made = recipes[rows]
    count = len(items)
    names = np.array([*order.classes, None], object)
    way = [turn._replace(label=names[turn.label])._asdict() for turn in made.way]
    turn_type = pa.struct(list(zip(Turn._fields, (pa.string(), pa.int64(), pa.float32(), pa.float32()), strict=True)))
    embedding: dict[str, Any] = {}
    if features is not None and isinstance(order.asked.purpose, Catalogue):
        flat = pa.array(features[rows].reshape(-1))
        embedding["embedding"] = pa.FixedSizeListArray.from_arrays(flat, features.shape[1])
    return pa.table(
        {
            "item": pa.array([item.id for item in items], pa.string()),
            "index": pa.array([item.index for item in items], pa.int64()),
            "label": pa.array([item.label for item in items], pa.string()),
            "sha256": pa.array([item.sha256 for item in items], pa.string()),
            "pixels": pa.array([item.pixels for item in items], pa.string()),
            "width": pa.array([item.width for item in items], pa.int32()),
            "height": pa.array([item.height for item in items], pa.int32()),
            "seed": made.seeds,
            "toward_label": pa.array(names[made.toward_labels] if order.classes else [None] * count, pa.string()),
            "toward_seed": made.toward_seeds,
            "share": made.shares,
            "label_share": made.label_shares,
            "way": pa.array([way] * count, pa.list_(turn_type)),
            **{name: pa.array(values[rows]) for name, values in measured.items()},
            **embedding,
            "facts": pa.array([json.dumps(dict(item.facts), ensure_ascii=False) for item in items], pa.string()),
            "batch": pa.array([order.id] * count, pa.string()),
            "model": pa.array([order.model] * count, pa.string()),
            "version": pa.array([order.version] * count, pa.int64()),
            "snapshot": pa.array([order.snapshot] * count, pa.string()),
        }
    )
