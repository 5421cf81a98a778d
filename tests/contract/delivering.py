"""Batches of a small model, delivered in tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from pipeline.adapters.store import Store
from pipeline.generate.order import Order, make_order
from pipeline.generate.part import Workplace
from pipeline.generate.publish import deliver
from pipeline.generate.release import Provenance
from pipeline.marks.signer import SignerSettings
from pipeline.model.bundle import save_bundle
from pipeline.model.networks import Generator, Shape
from pipeline.model.recipe import Turn
from pipeline.orders import BatchOrder
from pipeline.settings import Costs
from pipeline.values import Batch, ModelVersion, Scorecard

CLASSES = ("cat", "dog", "*bird*<b>")
OPEN = {"copies": 0, "odd": 1, "confidence": 0, "alike": False}
CARD = Scorecard(model="m", shards="s", space="classifier-128", samples=100, metrics={"nfd": 1.25}, floor={})
PROVENANCE = Provenance(scorecard=CARD, tags={"commit": "c" * 40, "snapshot": "snap"}, params="collect: {}\n")


def make_bundle(folder: Path, channels: int = 1) -> str:
    """A generator of 16 x 16 that was not trained; its images differ by seed and class."""
    torch.manual_seed(0)
    generator = Generator(Shape(16, channels, len(CLASSES), 8, 8))
    with torch.no_grad():
        generator.embed.weight.normal_(0, 3)
        for parameter in generator.to_image.parameters():
            parameter.mul_(8)
    folder.mkdir(parents=True, exist_ok=True)
    return save_bundle(folder, generator, CLASSES)


def order_of(bundle: str, around: tuple[int, int] | None = None, way: tuple[Turn, ...] = (), **asked: object) -> Order:
    model = ModelVersion(name="generator", version=1, alias="champion", bundle=bundle, uri="models:/generator/1")
    chosen = BatchOrder.model_validate({"count": 30, "part_items": 10, "filters": OPEN, **asked})
    segments = {"young": {"cat": 3.0, "dog": 1.0}, "old": {"dog": 1.0}}
    return make_order("shop", chosen, "", model, CLASSES, "snap", "", {}, segments, around, way)


def delivered(
    root: Path, stores: Callable[[str], Store], screen: Path | None = None, channels: int = 1, **asked: object
) -> tuple[Order, Batch]:
    order = order_of(make_bundle(root / "bundle", channels), **asked)  # type: ignore[arg-type]
    at = Workplace(root, root / "bundle", screen, stores(""), SignerSettings(), "")
    return order, deliver(stores, order, at, PROVENANCE, Costs())


def pixels_of(data: bytes) -> np.ndarray:  # type: ignore[type-arg]
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)))
