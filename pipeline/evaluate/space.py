"""What a dataset is measured in: its own classifier, trained once, and the halves of its holdout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.features import (
    Classifier,
    classifier_id,
    load_classifier,
    save_classifier,
    steps_for,
    train_classifier,
)
from pipeline.evaluate.kept import load_arrays, save_arrays
from pipeline.settings import Evaluate
from pipeline.values import Shards

Array = NDArray[Any]
Integers = NDArray[np.int64]
Sampler = Callable[[Integers, Integers], Array]  # labels, seeds -> images
Progress = Callable[[str, int, int], None]  # stage, done, total

BLOCK = 500  # images encoded at once
HOLDOUT = "holdout.safetensors"  # the features of all of it, beside the classifier


class ShardsReader(Protocol):
    """What evaluation reads of shards: images uint8 [N,C,S,S], labels int64 [N]."""

    @property
    def meta(self) -> Shards: ...
    @property
    def train_images(self) -> Array: ...
    @property
    def train_labels(self) -> Array: ...
    @property
    def holdout_images(self) -> Array: ...
    @property
    def holdout_labels(self) -> Array: ...


def halves(items: int, settings: Evaluate) -> tuple[Integers, Integers]:
    """Rows of the holdout: those a snapshot is chosen on, and the others, which are reported on."""
    order = stream(settings, 0).permutation(items)
    chosen = int(settings.chosen_on * items)
    return order[:chosen], order[chosen:]


def kept_classifier(settings: Evaluate, shards: ShardsReader, cache: Path, tell: Progress) -> Classifier:
    """The dataset's own classifier, trained once."""
    path = cache / classifier_id(shards.meta.id, settings) / "classifier.safetensors"
    if path.exists():
        return load_classifier(path)
    net = classifier_of(settings, shards.train_images, shards.train_labels, shards, tell, "classifier")
    save_classifier(net, path)
    return net


def kept_features(
    encode: Callable[[Array], NDArray[np.float32]],
    images: Array,
    path: Path,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float32]:
    """What is in the file, or is made now and written to it. tell: of images done, and all."""
    try:
        found: NDArray[np.float32] = load_arrays(path)[0]["features"]
        return found
    except FileNotFoundError:
        parts = []
        for start in range(0, len(images), BLOCK):
            tell(start, len(images))
            parts.append(encode(images[start : start + BLOCK]))
        made = np.concatenate(parts)
        save_arrays(path, {"features": made})
        return made


def classifier_of(
    settings: Evaluate, images: Array, labels: Array, shards: ShardsReader, tell: Progress, stage: str
) -> Classifier:
    chosen = settings.classifier_steps
    steps = steps_for(shards.meta.train_items) if chosen == "auto" else chosen
    return train_classifier(
        images,
        labels,
        len(shards.meta.classes),
        steps,
        settings.seed,
        lambda done: tell(stage, done, steps),
    )


def stream(settings: Evaluate, use: int) -> np.random.Generator:
    """An independent stream of the seed for each use, so that one draw never shifts another."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([settings.seed, use])))
