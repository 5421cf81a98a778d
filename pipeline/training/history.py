"""How a training goes: told every few seconds, kept beside its checkpoints, and followed by another process."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread

import numpy as np

from pipeline.files import replacing

MEASURES = ("loss_g", "loss_d", "rate_per_s", "lr", "augment", "overfitting", "rollbacks", "nfd")
TICK_S = 5.0


@dataclass(frozen=True)
class Tick:
    """What a watcher of a training run is told every few seconds. nfd: of a snapshot that was just judged.

    augment: the strength p; overfitting: r_v; rollbacks: how often the run went back to an earlier state.
    """

    images_seen: int
    budget: int
    rate_per_s: float
    loss_g: float
    loss_d: float
    lr: float = 0.0
    augment: float = 0.0
    overfitting: float = 0.0
    rollbacks: int = 0
    nfd: float | None = None

    @property
    def measures(self) -> dict[str, float]:
        return {name: value for name in MEASURES if (value := getattr(self, name)) is not None}


Watcher = Callable[[Tick, Callable[[], np.ndarray]], None]


def read_history(folder: Path, images_seen: float = math.inf) -> list[Tick]:
    path = folder / "history.json"
    if not path.exists():
        return []
    ticks = [replace(Tick(0, 0, 0, 0, 0), **entry) for entry in json.loads(path.read_text())]
    return [tick for tick in ticks if tick.images_seen <= images_seen]


def write_curves(path: Path, history: list[Tick]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["images_seen", *MEASURES], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(vars(replace(tick, rate_per_s=round(tick.rate_per_s, 1))) for tick in history)


@contextmanager
def followed(runs: Path, watch: Callable[[Tick], None]) -> Iterator[None]:
    """While inside, tell of the training that writes to a folder below `runs`."""
    done, begun = Event(), time.time()

    def look() -> None:
        while not done.wait(TICK_S):
            for path in runs.glob("*/history.json"):
                if path.stat().st_mtime >= begun and (ticks := read_history(path.parent)):
                    watch(ticks[-1])

    thread = Thread(target=look, daemon=True, name="followed")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
