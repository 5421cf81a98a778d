"""The step: shards into a bundle, with checkpoints that survive `kill -9`, by one process or several."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import GenloopError, ParamsError
from pipeline.files import replacing_folder, sha256_json, write_json
from pipeline.lessons import Lessons
from pipeline.log import say
from pipeline.model.bundle import Bundle, load_bundle
from pipeline.model.networks import GroupedBatchNorm, Shape
from pipeline.model.noise import item_seeds
from pipeline.settings import Train
from pipeline.shards import ShardsReader
from pipeline.start import Start
from pipeline.training.data import BatchSource
from pipeline.training.history import TICK_S, Tick, Watcher, read_history, write_curves
from pipeline.training.listening import NEW, WARM_UP, Heard, begin, hear
from pipeline.training.memory import fewer, held
from pipeline.training.plan import Ground, Plan, keep_plan, plan_of
from pipeline.training.ranks import Ranks, gathered, launched
from pipeline.training.snapshots import Judge, Snapshots, due
from pipeline.training.standing import settle
from pipeline.training.state import TrainingState, new_state, resume, save_checkpoint
from pipeline.training.update import Rules, learning_rate, update
from pipeline.values import Shards

CHECK_EVERY = 64  # steps between two looks at whether the losses are finite
WIDTHS = {1: 32, 2: 32, 3: 64, 4: 64}  # by channels, where the width is auto
LR, LR_WIDTH = 0.002, 32  # where the rate is auto: wider networks than this learn more slowly


@dataclass(frozen=True)
class Trained:
    """The bundle's id, and samples of the same seeds over time, uint8 [20, C, H, W] for each snapshot."""

    bundle: str
    progress: list[np.ndarray]


def train(
    settings: Train,
    shards: ShardsReader,
    runs: Path,
    out: Path,
    curves: Path,
    watch: Watcher,
    judge: Judge | None = None,
    held_out: np.ndarray | None = None,
    processes: int = 1,
    judged_by: str = "",
    lessons: Lessons | None = None,
    networks: Path | None = None,
) -> Trained:
    """Train (or go on training) and write the bundle to `out` and the curves to `curves`.

    judge: chooses among the snapshots, lower is better; without it the last is taken. held_out int64 [N]: rows of the
    holdout that show whether the discriminator learns the training images by heart. processes: 0 for one a GPU.
    judged_by: what decides judge and held_out, as run_key takes it. lessons: of which the settings say what is heard.
    networks: a folder for those that a later training may begin from.
    Checkpoints lie in `runs/<key>`, keyed by shards and settings. Raises GenloopError when the training blows up again
    and again, or a process of it ends.
    """
    lessons = lessons or Lessons()
    heard = hear(settings, lessons, shards.meta, shape_of(settings, shards.meta))
    for line in heard.passed_over:
        say(line, out=sys.stdout)
    folder = runs / run_key(settings, shards.meta, judged_by, lessons)
    folder.mkdir(parents=True, exist_ok=True)
    snapshots = Snapshots(folder, shards.meta.classes, judge)
    request = {
        "settings": settings.model_dump(),
        "shards": str(shards.folder) if shards.folder else None,
        "held_out": None if held_out is None else held_out.tolist(),
        "lessons": str(lessons.folder) if heard.key else None,
    }
    world = processes_for(settings, processes) if shards.folder and (lessons.folder or not heard.key) else 1
    with gathered(world, device_here(), ["-m", "pipeline.training.follower"], json.dumps(request)) as ranks:
        history = _take_part(settings, shards, held_out, ranks, snapshots, watch, heard)
    for made, place in ((snapshots.best, out), (snapshots.networks, networks)):
        if place:
            with replacing_folder(place) as copy:
                shutil.copytree(made, copy, dirs_exist_ok=True)
    write_curves(curves, history)
    return Trained(load_bundle(out).id, snapshots.progress())


def follow(settings: Train, shards: ShardsReader, held_out: np.ndarray | None, lessons: Lessons) -> None:
    """The work of every process but the first: the same steps; nothing is written."""
    heard = hear(settings, lessons, shards.meta, shape_of(settings, shards.meta))
    with gathered(1, device_here(), [], "") as ranks:
        nowhere = Snapshots(Path(), shards.meta.classes, None)
        _take_part(settings, shards, held_out, ranks, nowhere, lambda tick, preview: None, heard)


def run_key(settings: Train, meta: Shards, judged_by: str, lessons: Lessons) -> str:
    """16 hex digits of all that decides the weights: where the checkpoints lie, and the run's name."""
    heard = hear(settings, lessons, meta, shape_of(settings, meta))
    told = {"shards": meta.id, "train": settings.model_dump(exclude=set(NEW)), "judged_by": judged_by}
    return sha256_json(told | heard.key)[:16]


def device_here() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    place = int(os.environ.get("LOCAL_RANK", (launched() or Ranks()).rank))
    return torch.device("cuda", place % torch.cuda.device_count())


def processes_for(settings: Train, wanted: int) -> int:
    """One a GPU, if each has a batch norm's group to work on. One on a CPU: threads that share memory were faster."""
    most = max(1, settings.batch // GroupedBatchNorm.GROUP)
    return min(most, wanted or torch.cuda.device_count() or 1)


def shape_of(settings: Train, meta: Shards) -> Shape:
    width = WIDTHS[meta.channels] if settings.width == "auto" else settings.width
    return Shape(meta.size, meta.channels, max(len(meta.classes), 1), settings.z_dim, width)


def _take_part(
    settings: Train,
    shards: ShardsReader,
    held_out: np.ndarray | None,
    ranks: Ranks,
    snapshots: Snapshots,
    watch: Watcher,
    heard: Heard,
) -> list[Tick]:
    device, shape = device_here(), shape_of(settings, shards.meta)
    if heard.start:
        settings = tuned(settings)
    images, labels = shards.train_images, shards.train_labels
    source = BatchSource(images, labels, settings.batch, settings.seed, settings.balance, heard.train_weights)

    def overhead_s() -> float:
        start, net = 0.0, new_state(settings, shape, device).average
        for _ in range(2):  # the first time is longer: libraries choose their kernels
            start = time.perf_counter()
            settle(net, source, settings.seed)
            if snapshots.judge:
                snapshots.judge(Bundle(net, shards.meta.classes, "fresh"))
        return settings.snapshots * (time.perf_counter() - start)

    try:
        plan = plan_of(Ground(settings, shape, source, device, ranks, overhead_s), snapshots.folder)
    except ValueError as error:
        raise ParamsError(str(error), where="preprocess.size") from None
    rules = Rules(
        settings=settings,
        ranks=ranks,
        device=device,
        budget=plan.images,
        lr=_rate(settings, shape) * (settings.tuning.lr if heard.start else 1),
        spread=plan.spread,
        bf16=plan.bf16,
        held_out=_held_out(settings, shards, held_out, heard.holdout_weights),
        rejected=heard.rejected,
        warm_up=int(WARM_UP * plan.images) if heard.start else 0,
        at_once=plan.at_once,
    )
    return _Game(rules, source, shape, plan, snapshots, watch, heard.start).play()


def tuned(settings: Train) -> Train:
    """With the budget of a training that begins from another's end."""
    share = settings.tuning.budget
    budget = {"minutes": share * settings.minutes, "images_seen": int(share * settings.images_seen)}
    return settings.model_copy(update=budget)


def _rate(settings: Train, shape: Shape) -> float:
    return LR * min(1, LR_WIDTH / shape.width) if settings.lr == "auto" else settings.lr


def _held_out(
    settings: Train, shards: ShardsReader, rows: np.ndarray | None, weights: np.ndarray | None
) -> BatchSource | None:
    if rows is None or not len(rows):
        return None
    images, labels = shards.holdout_images[rows], shards.holdout_labels[rows]
    return BatchSource(
        images, labels, settings.batch, settings.seed, weights=None if weights is None else weights[rows]
    )


@dataclass
class _Game:
    """A run from its start, or its last checkpoint, to its budget. Only the first process writes."""

    rules: Rules
    source: BatchSource
    shape: Shape
    plan: Plan
    snapshots: Snapshots
    watch: Watcher
    start: Start | None = None
    history: list[Tick] = field(default_factory=list)

    def play(self) -> list[Tick]:
        rules, batch, first = self.rules, self.source.batch, self.rules.ranks.first
        state = self._fresh()
        if resume(state, self.snapshots.folder, rules.ranks) and first:
            seen = state.images_seen
            say(f"going on from {seen:,} of {rules.budget:,} images", out=sys.stdout, images_seen=seen)
            self.history = read_history(self.snapshots.folder, state.images_seen)
        unchecked = torch.zeros(2, device=rules.device)
        clock, seen = time.perf_counter(), state.images_seen
        while state.images_seen < rules.budget:
            losses = held(partial(update, state, rules, self.source), rules.ranks)
            if losses is None:
                state, rules = self._with_fewer_at_once(), self.rules
                unchecked, seen = torch.zeros(2, device=rules.device), min(seen, state.images_seen)
                continue
            unchecked = unchecked + losses
            snapshot, nfd = due(state.images_seen, batch, rules.budget, rules.settings.snapshots), None
            if snapshot or state.images_seen // batch % CHECK_EVERY == 0:
                start, good = time.perf_counter(), bool(unchecked.isfinite().all())
                if good and snapshot:
                    good, nfd = self._judged(state)
                if not good:
                    state = self._rolled_back(state)
                    seen = min(seen, state.images_seen)
                unchecked = torch.zeros(2, device=rules.device)
                clock += time.perf_counter() - start
            now = time.perf_counter()
            if first and (nfd is not None or now - clock >= TICK_S or state.images_seen >= rules.budget):
                self._tick(state, losses, (state.images_seen - seen) / max(now - clock, 1e-9), nfd)
                clock, seen = time.perf_counter(), state.images_seen
        if first and not self.snapshots.networks.exists():  # of a run that an earlier version made
            self.snapshots.keep_networks(state)
        return self.history

    def _fresh(self) -> TrainingState:
        state = new_state(self.rules.settings, self.shape, self.rules.device, self.plan.channels_last)
        if self.start:
            begin(state, self.start)
        return state

    def _with_fewer_at_once(self) -> TrainingState:
        """The last checkpoint: of the step that failed nobody knows how much of it was done."""
        at_once = fewer(self.rules.at_once, self.source.batch)
        self.rules, self.plan = replace(self.rules, at_once=at_once), replace(self.plan, at_once=at_once)
        keep_plan(self.plan, self.snapshots.folder)
        state = self._fresh()
        resume(state, self.snapshots.folder, self.rules.ranks)
        self.history = [tick for tick in self.history if tick.images_seen <= state.images_seen]
        told = f"out of memory: from {state.images_seen:,} images on, {at_once} at a time make a step"
        say(told, logging.WARNING, sys.stdout, images_seen=state.images_seen, at_once=at_once)
        return state

    def _judged(self, state: TrainingState) -> tuple[bool, float | None]:
        """The first process judges; all hear the verdict."""
        ranks = self.rules.ranks
        if ranks.first:
            settle(state.average, self.source, self.rules.settings.seed)
        good, measure = self.snapshots.take(state) if ranks.first else (True, 0.0)
        good = bool(json.loads(ranks.told(json.dumps(good).encode())))
        return good, measure if self.snapshots.judge else None

    def _rolled_back(self, state: TrainingState) -> TrainingState:
        """The last good state (or a fresh one), to go on from at half the rate; after too many, the end."""
        failed, rollbacks, settings = state.images_seen, state.rollbacks + 1, self.rules.settings
        state = self._fresh()
        resume(state, self.snapshots.good, self.rules.ranks)
        state.rollbacks = rollbacks
        back_at, given_up = state.images_seen, rollbacks > settings.retries
        if given_up and not back_at:
            raise GenloopError(f"the training blows up within {failed:,} images", remedy="lower train.lr")
        if given_up:
            state.images_seen = self.rules.budget
        if self.rules.ranks.first:
            lr = learning_rate(self.rules, 0, rollbacks)
            then = "no more retries: the best snapshot is kept" if given_up else f"again from there at lr {lr:g}"
            told = f"blown up at {failed:,} images, the last good snapshot is of {back_at:,}; {then}"
            say(told, logging.WARNING, sys.stdout, images_seen=failed, back_at=back_at, rollbacks=rollbacks)
            self.history = [tick for tick in self.history if tick.images_seen <= back_at]
        return state

    def _tick(self, state: TrainingState, losses: Tensor, rate: float, nfd: float | None) -> None:
        loss_g, loss_d = losses.tolist()
        if not np.isfinite([loss_g, loss_d]).all():
            return  # the next check goes back from here
        rules = self.rules
        lr = learning_rate(rules, state.images_seen, state.rollbacks)
        p, r = state.overfitting.p, state.overfitting.r
        tick = Tick(state.images_seen, rules.budget, rate, loss_g, loss_d, lr, p, r, state.rollbacks, nfd)
        self.history.append(tick)
        write_json(self.snapshots.folder / "history.json", [vars(entry) for entry in self.history])
        save_checkpoint(state, self.snapshots.folder)
        self.watch(tick, lambda: preview(state, self.snapshots.classes))


def preview(state: TrainingState, classes: tuple[str, ...], columns: int = 10) -> np.ndarray:
    """uint8 [N, C, H, W]: the averaged generator's samples, a row a class (ten classes at most)."""
    rows = min(max(len(classes), 4), 10)
    labels = np.repeat(np.arange(rows) % max(len(classes), 1), columns).astype(np.int64)
    return Bundle(state.average, classes, "preview").sample(labels, item_seeds(0, np.arange(len(labels))))
