"""The same pixels again, from an item's row of the manifest alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import BatchError
from pipeline.generate.items import item_id, pixel_hash
from pipeline.generate.making import pieces
from pipeline.generate.order import Order
from pipeline.generate.part import claim_of
from pipeline.marks.watermark import load_watermark
from pipeline.model.bundle import Bundle
from pipeline.model.recipe import Recipes, Turn
from pipeline.purposes.piece import Piece


def regenerate(
    order: Order, row: Mapping[str, Any], bundle: Bundle, workspace: Path, made_at: str
) -> NDArray[np.uint8]:
    """uint8 [H, W, C]. Raises BatchError where the pixels are not those that were delivered."""
    import torch

    torch.set_num_threads(1)  # as where it was first made: sums are added in one order
    (image,) = bundle.make(recipes_of(order, [row]), order.asked.truncation)
    name = item_id(order, int(row["index"]))
    if order.asked.watermark:
        image = load_watermark(order.asked.watermark)(image, claim_of(order, int(row["index"]), name, made_at))
    for piece in pieces(order, name, image, workspace):
        if isinstance(piece, Piece) and piece.name == row["item"] and pixel_hash(piece.image) == row["pixels"]:
            return piece.image
    raise BatchError(
        "the pixels are not those that were delivered",
        where=str(row["item"]),
        remedy="another processor or library rounds otherwise, or a file of its order changed: try where it was made",
    )


def recipe_of(order: Order, row: Mapping[str, Any]) -> Recipes:
    """Of one item."""
    return recipes_of(order, [row])


def recipes_of(order: Order, rows: Sequence[Mapping[str, Any]]) -> Recipes:
    """Of items of one batch, which share a way. Rows of the first batches have none."""
    places = {name: label for label, name in enumerate(order.classes)}
    label, toward = (
        np.array([places.get(row[name], 0) for row in rows], np.int64) for name in ("label", "toward_label")
    )
    seed, toward_seed = (np.array([row[name] for row in rows], np.int64) for name in ("seed", "toward_seed"))
    share, label_share = (np.array([row[name] for row in rows], np.float32) for name in ("share", "label_share"))
    turns = [Turn(**told) for told in (rows[0].get("way") if rows else None) or ()]
    way = tuple(turn._replace(label=places.get(str(turn.label), 0)) for turn in turns)
    return Recipes(label, seed, toward, toward_seed, share, label_share, way=way)
