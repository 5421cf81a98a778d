"""Every metric of a set of samples against the real images, with how sure each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate import memorisation
from pipeline.evaluate.intervals import Interval, jackknife, of_mean, wilson
from pipeline.evaluate.memorisation import Nearest, nearest_training
from pipeline.evaluate.metrics import (
    Array,
    frechet,
    frechet_distance,
    frechet_distance_infinity,
    gaussian,
    kernel_distance,
    spread,
)
from pipeline.evaluate.neighbours import Neighbours, neighbours

Integers = NDArray[np.int64]

MOST_CLASSES = 100
LEAST_FOR_INFINITY = 2000  # with fewer items the extrapolation is mostly noise


@dataclass(frozen=True)
class Reference:
    """Features of real images. real [M, D] and labels [M]: held out; train [T, D]; cells [T]: its labels.

    holdout: what is nearest to each of real in train.
    """

    real: Array
    labels: Integers
    train: Array
    cells: Integers
    holdout: Nearest


@dataclass(frozen=True)
class Measured:
    """Metrics by name, intervals of those that have one, and what they were taken of, an entry an item."""

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    neighbours: Neighbours
    nearest: Nearest

    def with_share(self, name: str, flags: NDArray[np.bool_]) -> Measured:
        return replace(
            self,
            metrics=self.metrics | {name: float(np.mean(flags))},
            intervals=self.intervals | {name: wilson(flags)},
        )

    def with_mean(self, name: str, values: NDArray[np.float64]) -> Measured:
        return replace(
            self,
            metrics=self.metrics | {name: float(np.mean(values))},
            intervals=self.intervals | {name: of_mean(values)},
        )


def compare(
    reference: Reference, fake_ND: Array, coverage_k: int, random: np.random.Generator, own_N: Integers | None = None
) -> Measured:
    """own_N: the row of train that each fake is, when fakes are real; authenticity is then that of held-out images."""
    near = nearest_training(fake_ND, reference.train, own_N)
    found = neighbours(reference.real, fake_ND, coverage_k=coverage_k)
    metrics, intervals = _distances(reference.real, fake_ND, random)
    metrics |= {
        "density": float(np.mean(found.density)),
        "copying": memorisation.copying_score(near, reference.holdout, reference.cells),
        "authenticity": memorisation.authenticity(near if own_N is None else reference.holdout, reference.train),
    }
    intervals["density"] = of_mean(found.density)
    measured = Measured(metrics, intervals, found, near)
    for name, flags in (
        ("precision", found.precise),
        ("recall", found.recalled),
        ("coverage", found.covered),
        ("memorised", memorisation.memorised(near, reference.holdout)),
    ):
        measured = measured.with_share(name, flags)
    return measured


def _distances(
    real_MD: Array, fake_ND: Array, random: np.random.Generator
) -> tuple[dict[str, float], dict[str, Interval]]:
    real, fake = gaussian(real_MD), gaussian(fake_ND)
    fd, percent = frechet(real, fake), 100 / spread(real)
    kd, around_kd = kernel_distance(real_MD, fake_ND)
    around_fd = jackknife(lambda a, b: frechet_distance(real_MD[a], fake_ND[b]), (len(real_MD), len(fake_ND)), fd)
    metrics = {"fd": fd, "nfd": percent * fd, "kd": kd}
    if min(len(real_MD), len(fake_ND)) >= LEAST_FOR_INFINITY:
        metrics["nfd_inf"] = percent * frechet_distance_infinity(real_MD, fake_ND, random)
    intervals: dict[str, Interval] = {}
    if around_fd and around_kd:
        low, high = around_fd
        intervals = {"fd": around_fd, "nfd": (percent * low, percent * high), "kd": around_kd}
    return metrics, intervals


def table_of_classes(
    classes: Sequence[str], real_labels: Integers, fake_labels: Integers, found: Neighbours, hits: NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """Of each class: held-out items, and shares of its samples and of its real ones; the worst covered come first.

    hits [N]: the evaluation's classifier sees the class that the sample was asked for.
    """
    told = {}
    for index, name in enumerate(classes):
        real, fake = real_labels == index, fake_labels == index
        if real.any() and fake.any():
            told[name] = {
                "items": int(real.sum()),
                "coverage": float(found.covered[real].mean()),
                "recall": float(found.recalled[real].mean()),
                "precision": float(found.precise[fake].mean()),
                "label_accuracy": float(hits[fake].mean()),
            }
    return dict(sorted(told.items(), key=lambda pair: pair[1]["coverage"])[:MOST_CLASSES])
