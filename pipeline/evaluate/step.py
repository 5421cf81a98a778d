"""Evaluate: samples of a model against the holdout, in one feature space, into a scorecard."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import GenloopError
from pipeline.evaluate.comparison import Measured, Reference, compare, table_of_classes
from pipeline.evaluate.encoder import Encoder
from pipeline.evaluate.features import DIMENSIONS, Classifier, classifier_id, features, told
from pipeline.evaluate.memorisation import Nearest, nearest_training
from pipeline.evaluate.space import (
    HOLDOUT,
    Array,
    Integers,
    Progress,
    Sampler,
    ShardsReader,
    classifier_of,
    halves,
    kept_classifier,
    kept_features,
    stream,
)
from pipeline.files import sha256_json, write_json
from pipeline.settings import Evaluate
from pipeline.values import Scorecard

TSTR_BYTES = 2**30  # of synthetic images held in memory at once


@dataclass(frozen=True)
class Evaluated:
    """The scorecard and what it was taken of. nearest: the training image nearest to each sample."""

    scorecard: Scorecard
    samples: Array
    labels: Integers
    nearest: Nearest


def score(
    settings: Evaluate,
    shards: ShardsReader,
    sampler: Sampler,
    model_id: str,
    cache: Path,
    progress: Progress | None = None,
) -> Evaluated:
    """Judge what `sampler(labels, seeds)` draws. What depends on the data alone is kept under cache/<id>/."""
    meta = shards.meta
    _, reported = halves(len(shards.holdout_labels), settings)
    count = min(settings.samples, len(reported))
    if count < 2 or len(shards.train_labels) < 2:
        raise GenloopError("too few images to evaluate", remedy="at least 2 of train and 2 of holdout")
    tell = progress or (lambda stage, done, total: None)
    within = _space(settings, shards, cache, tell)
    rows = np.sort(reported[:count])
    reference = _reference(shards, within, rows, tell)
    floor = _floor(settings, shards, within, reference, rows)

    tell("sample", 0, count)
    labels = stream(settings, 1).permutation(reference.labels).astype(np.int64)
    samples = _sample(sampler, labels, stream(settings, 2), shards)
    tell("sample", count, count)
    fake = within.features(samples)
    tell("metrics", 0, 1)
    measured = compare(reference, fake, settings.coverage_k, stream(settings, 6))
    tell("metrics", 1, 1)
    per_class: dict[str, dict[str, float]] = {}
    if len(meta.classes) > 1:
        hits = within.told(samples, fake) == labels
        measured = measured.with_share("label_accuracy", hits)
        measured = _usefulness(measured, settings, shards, sampler, within.net, np.sort(reported), tell)
        per_class = table_of_classes(meta.classes, reference.labels, labels, measured.neighbours, hits)
    scorecard = Scorecard(
        model=model_id,
        shards=meta.id,
        space=space(meta.id, settings),
        samples=count,
        metrics=measured.metrics,
        floor=floor,
        intervals=measured.intervals,
        per_class=per_class,
    )
    return Evaluated(scorecard, samples, labels, measured.nearest)


@dataclass(frozen=True)
class _Space:
    """Where distances are taken: in the encoder's features, or in those of `net`, the dataset's own classifier.

    folder: keeps what depends on the data alone.
    """

    net: Classifier
    encoder: Encoder | None
    folder: Path

    def features(self, images: Array) -> NDArray[np.float32]:
        return self.encoder(images) if self.encoder else features(self.net, images)

    def told(self, images: Array, features_ND: NDArray[np.float32]) -> Integers:
        """int64 [N]: the class that the classifier sees in each image; features_ND: of these images, in this space."""
        return told(self.net, features(self.net, images) if self.encoder else features_ND)


def _space(settings: Evaluate, shards: ShardsReader, cache: Path, tell: Progress) -> _Space:
    encoder = Encoder(Path(settings.encoder), settings.encoder_sha256) if settings.encoder else None
    folder = cache / classifier_id(shards.meta.id, settings)
    kept = folder / f"encoder-{settings.encoder_sha256[:16]}" if encoder else folder
    return _Space(kept_classifier(settings, shards, cache, tell), encoder, kept)


def space(shards: str, settings: Evaluate) -> str:
    """Names the feature space and the protocol: numbers of equal names, and of no others, can be compared."""
    rules = settings.model_dump(exclude={"encoder"} if settings.encoder else {"encoder", "encoder_sha256"})
    protocol = sha256_json([classifier_id(shards, settings), rules])[:8]
    if settings.encoder:
        return f"encoder {Path(settings.encoder).stem} {settings.encoder_sha256[:8]}, protocol {protocol}"
    return f"classifier-{DIMENSIONS} of shards {shards[:8]}, protocol {protocol}"


def _reference(shards: ShardsReader, within: _Space, rows: Integers, tell: Progress) -> Reference:
    """Features of the real images: of all for training, and of `rows` of the holdout."""

    def kept(images: Array, name: str) -> NDArray[np.float32]:
        return kept_features(within.features, images, within.folder / name, partial(tell, "features"))

    train, holdout = kept(shards.train_images, "train.safetensors"), kept(shards.holdout_images, HOLDOUT)
    real = holdout[rows]
    return Reference(
        real=real,
        labels=np.asarray(shards.holdout_labels)[rows],
        train=train,
        cells=np.asarray(shards.train_labels),
        holdout=nearest_training(real, train),
    )


def _floor(
    settings: Evaluate, shards: ShardsReader, within: _Space, reference: Reference, real: Integers
) -> dict[str, float]:
    """The same metrics of as many real training images; each is passed over when its own nearest is sought.

    real: rows of the holdout that the reference is of.
    """
    key = [len(reference.real), settings.coverage_k, settings.chosen_on]
    path = within.folder / f"floor-{sha256_json(key)[:12]}.json"
    if path.exists():
        try:
            return {str(name): float(value) for name, value in json.loads(path.read_text()).items()}
        except (ValueError, AttributeError, TypeError):
            raise GenloopError(
                "the floor's file is damaged", where=str(path), remedy="delete it and evaluate again"
            ) from None
    train = reference.train
    rows = np.sort(stream(settings, 3).permutation(len(train))[: len(reference.real)])
    measured = compare(reference, train[rows], settings.coverage_k, stream(settings, 7), rows)
    if len(shards.meta.classes) > 1:
        seen = within.told(shards.train_images[rows], train[rows])
        measured = measured.with_share("label_accuracy", seen == reference.cells[rows])
        seen = within.told(shards.holdout_images[real], reference.real)
        measured = measured.with_share("tstr", seen == reference.labels)
    write_json(path, measured.metrics)
    return measured.metrics


def _usefulness(
    measured: Measured,
    settings: Evaluate,
    shards: ShardsReader,
    sampler: Sampler,
    real_net: Classifier,
    rows: Integers,
    tell: Progress,
) -> Measured:
    """How well a classifier of samples tells the holdout's `rows`, and what samples add to real images.

    TSTR: Esteban et al. 2017, section 4.2, or the classification accuracy score; gain: Ravuri and Vinyals 2019,
    section 4.3, against the classifier of real images alone, after as many steps.
    """
    meta = shards.meta
    room = max(1, TSTR_BYTES // (meta.channels * meta.size**2))
    labels = stream(settings, 4).choice(np.asarray(shards.train_labels), min(settings.tstr_images, room))
    tell("tstr sample", 0, len(labels))
    images = _sample(sampler, labels.astype(np.int64), stream(settings, 5), shards)
    tell("tstr sample", len(labels), len(labels))
    truth, held_out = np.asarray(shards.holdout_labels)[rows], shards.holdout_images[rows]

    def hits(net: Classifier) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = told(net, features(net, held_out)) == truth
        return found

    measured = measured.with_share("tstr", hits(classifier_of(settings, images, labels, shards, tell, "tstr")))
    if not settings.gain:
        return measured
    real = np.sort(stream(settings, 8).permutation(len(shards.train_labels))[:room])
    both = np.concatenate([shards.train_images[real], images])
    net = classifier_of(settings, both, np.concatenate([shards.train_labels[real], labels]), shards, tell, "gain")
    return measured.with_mean("gain", hits(net).astype(np.float64) - hits(real_net))


def _sample(sampler: Sampler, labels: Integers, random: np.random.Generator, shards: ShardsReader) -> Array:
    seeds = random.integers(0, 2**63 - 1, len(labels), np.int64)
    images = sampler(labels, seeds)
    expected = (len(labels), shards.meta.channels, shards.meta.size, shards.meta.size)
    if images.shape != expected or images.dtype != np.uint8:
        raise GenloopError(f"the sampler gave {images.dtype} {images.shape}, not uint8 {expected}")
    return images
