"""An order: what a batch is made of, and what each item of it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ParamsError
from pipeline.files import sha256_json
from pipeline.model.noise import item_seeds
from pipeline.settings import Generate
from pipeline.values import ModelVersion, Value


class Order(Value):
    """`weights` are shares of the classes, in the bundle's order; the id is a hash of all else."""

    model: str
    version: int
    bundle: str
    snapshot: str
    classes: tuple[str, ...]
    weights: tuple[float, ...]
    count: int
    seed: int
    part_items: int

    @property
    def id(self) -> str:
        return sha256_json(self.model_dump())[:16]

    @property
    def parts(self) -> int:
        return -(-self.count // self.part_items)


def make_order(settings: Generate, model: ModelVersion, classes: tuple[str, ...], snapshot: str) -> Order:
    """Raises ParamsError for a class of the mix that the model does not know, or a mix of nothing."""
    unknown = sorted(set(settings.mix) - set(classes))
    if unknown:
        raise ParamsError(f"generate.mix names {unknown}", remedy=f"the model's classes are {list(classes)[:20]}")
    raw = [settings.mix.get(name, 0.0) if settings.mix else 1.0 for name in classes] or [1.0]
    if sum(raw) <= 0:
        raise ParamsError("generate.mix gives every class weight 0", remedy="give one a weight above 0")
    return Order(
        model=model.name,
        version=model.version,
        bundle=model.bundle,
        snapshot=snapshot,
        classes=classes,
        weights=tuple(weight / sum(raw) for weight in raw),
        count=settings.count,
        seed=settings.seed,
        part_items=settings.part_items,
    )


def items(order: Order, part: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(index, label, seed), int64 [N], of the items of one part; the mix is met to within an item."""
    index = np.arange(part * order.part_items, min((part + 1) * order.part_items, order.count), dtype=np.int64)
    edges = np.cumsum(order.weights) * order.count
    labels = np.searchsorted(edges, index + 0.5, side="right").clip(0, len(order.weights) - 1)
    return index, labels.astype(np.int64), item_seeds(order.seed, index)
