"""Evaluate: samples of a model against the holdout, in the dataset's own feature space, into a scorecard."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import GenloopError
from pipeline.evaluate import metrics
from pipeline.evaluate.features import (
    DIMENSIONS,
    Classifier,
    accuracy,
    classifier_id,
    features,
    load_classifier,
    save_classifier,
    train_classifier,
)
from pipeline.files import sha256_json, write_json
from pipeline.settings import Evaluate
from pipeline.values import Scorecard, Shards

Array = NDArray[Any]
Integers = NDArray[np.int64]
Sampler = Callable[[Integers, Integers], Array]
Progress = Callable[[str, int, int], None]  # stage, done, total

TSTR_BYTES = 2**30  # of synthetic images held in memory at once


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


@dataclass(frozen=True)
class Evaluated:
    """The scorecard and what it was taken of. nearest: the row in train nearest to each sample."""

    scorecard: Scorecard
    samples: Array
    labels: Integers
    nearest: Integers


def score(
    settings: Evaluate,
    shards: ShardsReader,
    sampler: Sampler,
    model_id: str,
    cache: Path,
    progress: Progress | None = None,
) -> Evaluated:
    """Judge what `sampler(labels, seeds)` draws. The classifier and the floor are kept under cache/<id>/."""
    meta = shards.meta
    count = min(settings.samples, len(shards.holdout_labels))
    if count < 2 or len(shards.train_labels) < 2:
        raise GenloopError("too few images to evaluate", remedy="at least 2 of train and 2 of holdout")
    tell = progress or (lambda stage, done, total: None)
    folder = cache / classifier_id(meta.id, settings)
    net = _classifier(settings, shards, folder / "classifier.safetensors", tell)

    tell("features", 0, 2)
    rows = np.sort(_random(settings, 0).permutation(len(shards.holdout_labels))[:count])
    real = features(net, shards.holdout_images[rows])
    train = features(net, shards.train_images)
    tell("features", 2, 2)
    key = sha256_json([count, settings.coverage_k])[:12]
    floor = _floor(settings, shards, net, real, train, folder / f"floor-{key}.json")

    tell("sample", 0, count)
    labels = _random(settings, 1).permutation(np.asarray(shards.holdout_labels)[rows]).astype(np.int64)
    samples = _sample(sampler, labels, _random(settings, 2), shards)
    tell("sample", count, count)
    fake = features(net, samples)
    taken = compare(real, fake, train, settings.coverage_k)
    if len(meta.classes) > 1:
        taken["tstr"] = _tstr(settings, shards, sampler, tell)
    scorecard = Scorecard(
        model=model_id,
        shards=meta.id,
        space=space(meta.id, settings),
        samples=count,
        metrics=taken,
        floor=floor,
    )
    return Evaluated(scorecard, samples, labels, metrics.nearest(fake, train)[1])


def space(shards: str, settings: Evaluate) -> str:
    """Names the feature space and the protocol: numbers of equal names, and of no others, can be compared."""
    protocol = sha256_json([classifier_id(shards, settings), settings.model_dump()])[:8]
    return f"classifier-{DIMENSIONS} of shards {shards[:8]}, protocol {protocol}"


def compare(
    real_ND: Array, fake_ND: Array, train_MD: Array, coverage_k: int, own_N: Integers | None = None
) -> dict[str, float]:
    """Every metric of two feature sets. own_N: the row of train that each fake is, when fakes are real."""
    precision, recall = metrics.precision_recall(real_ND, fake_ND)
    density, coverage = metrics.density_coverage(real_ND, fake_ND, coverage_k)
    return {
        "fd": metrics.frechet_distance(real_ND, fake_ND),
        "nfd": metrics.normalised_frechet_distance(real_ND, fake_ND),
        "kd": metrics.kernel_distance(real_ND, fake_ND),
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
        "memorised": metrics.memorised(fake_ND, train_MD, real_ND, own_N),
    }


def _classifier(settings: Evaluate, shards: ShardsReader, path: Path, tell: Progress) -> Classifier:
    if path.exists():
        return load_classifier(path)
    net = _train(settings, shards.train_images, shards.train_labels, shards, tell, "classifier")
    save_classifier(net, path)
    return net


def _train(
    settings: Evaluate, images: Array, labels: Array, shards: ShardsReader, tell: Progress, stage: str
) -> Classifier:
    steps = settings.classifier_steps
    return train_classifier(
        images,
        labels,
        len(shards.meta.classes),
        steps,
        settings.seed,
        lambda done: tell(stage, done, steps),
    )


def _floor(
    settings: Evaluate, shards: ShardsReader, net: Classifier, real: Array, train: Array, path: Path
) -> dict[str, float]:
    """The same metrics of as many real training images; each is passed over when its own nearest is sought."""
    if path.exists():
        try:
            return {str(name): float(value) for name, value in json.loads(path.read_text()).items()}
        except (ValueError, AttributeError, TypeError):
            raise GenloopError(
                "the floor's file is damaged", where=str(path), remedy="delete it and evaluate again"
            ) from None
    rows = np.sort(_random(settings, 3).permutation(len(train))[: len(real)])
    floor = compare(real, train[rows], train, settings.coverage_k, rows)
    if len(shards.meta.classes) > 1:
        floor["tstr"] = accuracy(net, shards.holdout_images, shards.holdout_labels)
    write_json(path, floor)
    return floor


def _tstr(settings: Evaluate, shards: ShardsReader, sampler: Sampler, tell: Progress) -> float:
    """Train on synthetic, test on real (Esteban et al. 2017, section 4.2): accuracy on the real holdout."""
    meta = shards.meta
    room = max(1, TSTR_BYTES // (meta.channels * meta.size**2))
    count = min(settings.tstr_images, room)
    labels = _random(settings, 4).choice(np.asarray(shards.train_labels), count).astype(np.int64)
    tell("tstr sample", 0, count)
    images = _sample(sampler, labels, _random(settings, 5), shards)
    tell("tstr sample", count, count)
    net = _train(settings, images, labels, shards, tell, "tstr")
    return accuracy(net, shards.holdout_images, shards.holdout_labels)


def _sample(sampler: Sampler, labels: Integers, random: np.random.Generator, shards: ShardsReader) -> Array:
    seeds = random.integers(0, 2**63 - 1, len(labels), np.int64)
    images = sampler(labels, seeds)
    expected = (len(labels), shards.meta.channels, shards.meta.size, shards.meta.size)
    if images.shape != expected or images.dtype != np.uint8:
        raise GenloopError(f"the sampler gave {images.dtype} {images.shape}, not uint8 {expected}")
    return images


def _random(settings: Evaluate, stream: int) -> np.random.Generator:
    """An independent stream of the seed for each use, so that one draw never shifts another."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([settings.seed, stream])))
