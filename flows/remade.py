"""Images of delivered items made again, as the models made them that their batches are by."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flows import wiring
from pipeline.errors import GenloopError
from pipeline.reviews import Enrolled

if TYPE_CHECKING:
    from pipeline.adapters.registry import Registry

Images = NDArray[np.uint8]


def by_batch(items: Iterable[Enrolled]) -> Iterator[tuple[str, set[str]]]:
    """Names of the items of each batch, in order of the batches."""
    found: dict[str, set[str]] = defaultdict(set)
    for one in items:
        found[one.batch].add(one.item)
    yield from sorted(found.items())


def remade(registry: Registry, name: str, items: set[str]) -> dict[str, Images]:
    """uint8 [C, S, S] of each of these items of a batch. None of a batch, or by a model, that is gone."""
    from pipeline.generate.batches import find_batch
    from pipeline.generate.enrolling import images_of
    from pipeline.model.bundle import load_bundle

    try:
        batch = find_batch(wiring.stores, name)
    except GenloopError:
        return {}
    model = registry.version(batch.model, batch.version)
    if model is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        bundle = load_bundle(registry.download_bundle(model, Path(folder)))
        names, images = images_of(wiring.stores(batch.bucket), batch, items, bundle)
    return dict(zip(names, images, strict=True))
