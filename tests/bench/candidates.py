"""A real generator's candidates that pass the filters, kept under build/bench/, and real images beside them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.features import classifier_id
from pipeline.evaluate.kept import load_arrays
from pipeline.evaluate.space import HOLDOUT
from pipeline.generate.filters import judge
from pipeline.generate.screen import TRAINING, Screen, load_screen
from pipeline.model.bundle import Bundle, load_bundle
from pipeline.model.noise import item_seeds
from pipeline.orders import Filters
from pipeline.preference.sights import blocks_of, seen
from pipeline.settings import Evaluate
from tests.bench.batch import prepared
from tests.bench.dataset import BUILD, params_of, shards_of

STEP = 500  # candidates of a class, made at once
TRAINING_EVERY, BACKGROUND_EVERY = 6, 10

Integers = NDArray[np.int64]


@dataclass
class Pool:
    """Candidates by class that have passed the filters, made as they are needed and used by every taste alike."""

    bundle: Bundle
    screen: Screen
    seed: int
    made: dict[int, dict[str, NDArray]] = field(default_factory=dict)
    asked: dict[int, int] = field(default_factory=dict)

    def some(self, label: int, start: int, count: int) -> dict[str, NDArray]:
        """Of the candidates from start to start + count, as they were made, those that passed."""
        while self.asked.get(label, 0) < start + count:
            self._more(label)
        found = self.made[label]
        kept = (found["number"] >= start) & (found["number"] < start + count)
        return {name: values[kept] for name, values in found.items()}

    def _more(self, label: int) -> None:
        start = self.asked.get(label, 0)
        path = BUILD / "taste" / f"{self.bundle.id}-{self.seed}-{label}-{start}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, **self._candidates(label, np.arange(start, start + STEP)))
        with np.load(path) as file:
            new = {name: file[name] for name in file.files}
        before = self.made.get(label)
        self.made[label] = new if before is None else {n: np.concatenate([before[n], new[n]]) for n in new}
        self.asked[label] = start + STEP

    def _candidates(self, label: int, numbers: Integers) -> dict[str, NDArray]:
        labels = np.full(len(numbers), label, np.int64)
        seeds = item_seeds(self.seed, numbers + (label << 32))
        images = self.bundle.sample(labels, seeds)
        verdicts = judge(Filters(), False, self.screen, (), images, labels, seeds, self.bundle.classes)
        assert verdicts.features is not None
        good = verdicts.good
        every = {
            "number": numbers,
            "label": labels,
            "seed": seeds,
            "image": images,
            "seen": seen(verdicts.features, verdicts.areas),
            "feature": verdicts.features,
        }
        return {name: values[good] for name, values in every.items()}


@dataclass(frozen=True)
class Ground:
    """What all runs share. background: of training images; real, train: images and labels of holdout and training."""

    bundle: Bundle
    screen: Screen
    background: NDArray[np.float32]
    blocks: tuple[int, int]
    real: tuple[NDArray[np.uint8], Integers, NDArray[np.float32]]
    train: tuple[NDArray[np.uint8], Integers, NDArray[np.float32]]


def ground(source: str, images_seen: int) -> Ground:
    made = prepared(source, images_seen)
    shards, screen = shards_of(params_of([f"collect.source={source}"])), load_screen(made.screen)
    areas = load_arrays(made.screen / TRAINING)[0]["areas"]
    kept = made.screen.parent / "kept" / classifier_id(shards.meta.id, Evaluate()) / HOLDOUT
    labels = np.asarray(shards.train_labels)
    return Ground(
        bundle=load_bundle(made.bundle),
        screen=screen,
        background=seen(screen.training[::BACKGROUND_EVERY], areas[::BACKGROUND_EVERY]),
        blocks=blocks_of(screen.training, areas),
        real=(shards.holdout_images, np.asarray(shards.holdout_labels), load_arrays(kept)[0]["features"]),
        train=(shards.train_images[::TRAINING_EVERY], labels[::TRAINING_EVERY], screen.training[::TRAINING_EVERY]),
    )
