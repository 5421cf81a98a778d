"""The step: shards into a bundle, with checkpoints that survive `kill -9`."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from pipeline.errors import GenloopError, ParamsError
from pipeline.files import replacing, replacing_folder, sha256_json, write_json
from pipeline.model.bundle import Bundle, save_bundle
from pipeline.model.networks import Shape
from pipeline.model.noise import item_seeds
from pipeline.settings import Train
from pipeline.shards import ShardsReader
from pipeline.training.data import BatchSource
from pipeline.training.state import TrainingState, load_checkpoint, new_state, save_checkpoint
from pipeline.training.update import update
from pipeline.values import Shards

PROBE_S, PROBE_WINDOWS = 4.0, 8
STEPS_SHARE = 0.95  # of the time; the rest goes to checkpoints and pictures
TICK_S = 5.0


@dataclass(frozen=True)
class Tick:
    """What a watcher of a training run is told every few seconds."""

    images_seen: int
    budget: int
    rate_per_s: float
    loss_g: float
    loss_d: float

    @property
    def measures(self) -> dict[str, float]:
        return {"loss_g": self.loss_g, "loss_d": self.loss_d, "rate_per_s": self.rate_per_s}


Watcher = Callable[[Tick, Callable[[], np.ndarray]], None]


def train(settings: Train, shards: ShardsReader, runs: Path, out: Path, curves: Path, watch: Watcher) -> str:
    """Train (or go on training) and write the bundle to `out` and the curves to `curves`; returns the bundle's id.

    Checkpoints lie in `runs/<key>`, keyed by shards and settings. Raises GenloopError when losses are not finite.
    """
    meta = shards.meta
    folder = runs / run_key(settings, meta)
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape = Shape(meta.size, meta.channels, max(len(meta.classes), 1), settings.z_dim, settings.width)
    try:
        state = new_state(settings, shape, device)
    except ValueError as error:
        raise ParamsError(str(error), where="preprocess.size") from None
    source = BatchSource(shards.train_images, shards.train_labels, settings.batch, settings.seed)
    bf16 = use_bf16(settings, device)
    budget = _budget(settings, folder, state, source, bf16)
    if load_checkpoint(state, folder):
        settings_note = f"going on from {state.images_seen:,} of {budget:,} images"
        print(settings_note, flush=True)
    history = _run(state, settings, source, budget, bf16, folder, watch, meta.classes)
    with replacing_folder(out) as bundle:
        identity = save_bundle(bundle, state.average.cpu(), meta.classes)
    _write_curves(curves, history)
    return identity


def run_key(settings: Train, meta: Shards) -> str:
    """16 hex digits of all that decides the weights: where the checkpoints lie, and the run's name."""
    return sha256_json({"shards": meta.id, "train": settings.model_dump()})[:16]


def use_bf16(settings: Train, device: torch.device) -> bool:
    if settings.precision != "auto":
        return settings.precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and torch.cpu._is_avx512_bf16_supported()


def _budget(settings: Train, folder: Path, state: TrainingState, source: BatchSource, bf16: bool) -> int:
    """The images to see: as set, or as many as `minutes` allow at a rate measured once and kept in the run's folder."""
    if settings.images_seen:
        return max(settings.images_seen // source.batch, 1) * source.batch
    receipt = folder / "budget.json"
    if receipt.exists():
        return int(json.loads(receipt.read_text())["images"])
    start = time.perf_counter()
    rate = _rate_per_s(settings, state, source, bf16)
    left_s = 60 * settings.minutes - (time.perf_counter() - start)
    images = max(int(STEPS_SHARE * rate * left_s) // source.batch, 1) * source.batch
    write_json(receipt, {"images": images, "rate_per_s": round(rate, 1)})
    return images


def _rate_per_s(settings: Train, state: TrainingState, source: BatchSource, bf16: bool) -> float:
    """Images a second of a training that is thrown away: the median of windows, so that a hiccup does not count."""
    device = next(state.generator.parameters()).device
    probe, rates = new_state(settings, state.generator.shape, device), []
    for _ in range(PROBE_WINDOWS + 1):
        first, start = probe.images_seen, time.perf_counter()
        while (spent := time.perf_counter() - start) < min(PROBE_S, 3 * settings.minutes) / PROBE_WINDOWS:
            real, labels = source.at(probe.images_seen)
            update(probe, settings, real.to(device), labels.to(device), 10**9, bf16)
        rates.append((probe.images_seen - first) / spent)
    return float(np.median(rates[1:]))  # the first window is the warm-up


def _run(
    state: TrainingState,
    settings: Train,
    source: BatchSource,
    budget: int,
    bf16: bool,
    folder: Path,
    watch: Watcher,
    classes: tuple[str, ...],
) -> list[Tick]:
    device = next(state.generator.parameters()).device
    history: list[Tick] = _read_history(folder, state.images_seen)
    last_time, last_seen = time.perf_counter(), state.images_seen
    while state.images_seen < budget:
        real, labels = source.at(state.images_seen)
        losses = update(state, settings, real.to(device), labels.to(device), budget, bf16)
        now = time.perf_counter()
        if now - last_time < TICK_S and state.images_seen < budget:
            continue
        rate = (state.images_seen - last_seen) / max(now - last_time, 1e-9)
        tick = Tick(state.images_seen, budget, rate, float(losses["loss_g"]), float(losses["loss_d"]))
        if not np.isfinite([tick.loss_g, tick.loss_d]).all():
            raise GenloopError(f"losses are not finite after {tick.images_seen:,} images", remedy="lower train.lr")
        history.append(tick)
        write_json(folder / "history.json", [vars(entry) for entry in history])
        save_checkpoint(state, folder)
        watch(tick, lambda: preview(state, classes))
        last_time, last_seen = time.perf_counter(), state.images_seen
    return history


def preview(state: TrainingState, classes: tuple[str, ...], columns: int = 10) -> np.ndarray:
    """uint8 [N, C, H, W]: the averaged generator's samples, a row a class (ten classes at most)."""
    rows = min(max(len(classes), 4), 10)
    labels = np.repeat(np.arange(rows) % max(len(classes), 1), columns).astype(np.int64)
    bundle = Bundle(state.average, classes, "preview")
    generator_device = next(state.average.parameters()).device
    try:
        return bundle.sample(labels, item_seeds(0, np.arange(len(labels), dtype=np.int64)))
    finally:
        state.average.to(generator_device)


def _read_history(folder: Path, images_seen: int) -> list[Tick]:
    path = folder / "history.json"
    if not path.exists():
        return []
    ticks = [replace(Tick(0, 0, 0, 0, 0), **entry) for entry in json.loads(path.read_text())]
    return [tick for tick in ticks if tick.images_seen <= images_seen]


def _write_curves(path: Path, history: list[Tick]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["images_seen", "loss_g", "loss_d", "rate_per_s"])
        writer.writerows([t.images_seen, t.loss_g, t.loss_d, round(t.rate_per_s, 1)] for t in history)
