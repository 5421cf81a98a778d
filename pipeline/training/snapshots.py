"""Snapshots of a run: each is judged, the best is kept as a bundle, and the last good one is there to go back to."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.files import replacing, replacing_folder, write_json
from pipeline.model.bundle import Bundle, save_bundle
from pipeline.model.noise import item_seeds
from pipeline.start import write_start
from pipeline.training.listening import start_of
from pipeline.training.state import TrainingState, save_checkpoint

Judge = Callable[[Bundle], float]  # lower is better

BLOW_UP = 2.0  # times as far from the data as the best snapshot before it
NEAR = 5.0  # below this a distance is not a blow-up, whatever the best was
COLUMNS = 20


@dataclass(frozen=True)
class Snapshots:
    """What a run keeps of them in `folder`. Without a judge the last is the best."""

    folder: Path
    classes: tuple[str, ...]
    judge: Judge | None

    @property
    def good(self) -> Path:
        """The folder of the last good state, whole."""
        return self.folder / "good"

    @property
    def best(self) -> Path:
        """The bundle of the best one."""
        return self.folder / "best"

    @property
    def networks(self) -> Path:
        """The networks of the best one, for a training that begins from them."""
        return self.folder / "networks"

    def take(self, state: TrainingState) -> tuple[bool, float]:
        """(whether the run may go on from here, the judge's measure). Taken again, it comes to the same."""
        measure = self.judge(Bundle(state.average, self.classes, "snapshot")) if self.judge else 0.0
        best = self._least()
        if not math.isfinite(measure) or measure > max(BLOW_UP * best, NEAR):
            return False, measure
        if measure < best or not self.judge:
            with replacing_folder(self.best) as folder:
                save_bundle(folder, state.average, self.classes)
            self.keep_networks(state)
            write_json(self.folder / "best.json", {"measure": measure, "images_seen": state.images_seen})
        self._picture(state)
        save_checkpoint(state, self.good, keep=1)
        return True, measure

    def keep_networks(self, state: TrainingState) -> None:
        write_start(self.networks, start_of(state, self.classes))

    def progress(self) -> list[NDArray[np.uint8]]:
        """Samples of the same seeds in each snapshot, uint8 [20, C, H, W] each, the first one first."""
        return [np.load(path, allow_pickle=False) for path in sorted((self.folder / "progress").glob("*.npy"))]

    def _least(self) -> float:
        try:
            return float(json.loads((self.folder / "best.json").read_text())["measure"])
        except FileNotFoundError:
            return math.inf

    def _picture(self, state: TrainingState) -> None:
        labels = np.arange(COLUMNS, dtype=np.int64) % max(len(self.classes), 1)
        seeds = item_seeds(0, np.arange(COLUMNS, dtype=np.int64))
        samples = Bundle(state.average, self.classes, "snapshot").sample(labels, seeds)
        with replacing(self.folder / f"progress/{state.images_seen:012d}.npy") as path, path.open("wb") as file:
            np.save(file, samples)


def due(images_seen: int, batch: int, budget: int, snapshots: int) -> bool:
    """Whether one of the evenly spaced snapshots falls on the batch that ends here; the last does on the last."""
    return images_seen * snapshots // budget > (images_seen - batch) * snapshots // budget
