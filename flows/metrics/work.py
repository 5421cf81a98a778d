"""Of the work: dataset, stages, training and batches, as their receipts tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client.core import Metric

from flows.metrics.families import counters, gauge, gauges
from flows.metrics.files import Files
from flows.receipts import BATCHES, BatchReceipt
from pipeline import stages
from pipeline.dataset.history import FOLDER, Version
from pipeline.values import Validation

REASONS = 20
TRAINING = {  # of a tick: name and what it is
    "images_seen": ("training_images_seen", "Images that the last training has shown to the networks."),
    "budget": ("training_budget_images", "Images that the last training is to show in all."),
    "rate_per_s": ("training_images_per_second", "Images that the last training showed a second, lately."),
    "rollbacks": ("training_rollbacks", "How often the last training went back to an earlier state."),
    "augment": ("training_augment_ratio", "Strength of augmentation in the last training, 0 to 1."),
}


class Dataset:
    def __init__(self, workspace: Path) -> None:
        self._workspace, self._versions = workspace, Files(Version.model_validate)

    def __call__(self) -> Iterator[Metric]:
        newest = max((self._workspace / FOLDER).glob("[0-9]*.json"), default=None)
        if newest is None:
            return
        if (found := self._versions.read(newest)) is None:
            raise ValueError(f"{newest.name} can't be read")
        yield from gauge("dataset_version", "Number of the newest version of the dataset.", found.number)
        counts = {"accepted": float(found.accepted), "rejected": float(found.rejected)}
        yield from gauges("dataset_items", "Items of the newest version, by what validation said.", ("state",), counts)
        reasons = sorted(found.reasons.items(), key=lambda pair: -pair[1])[:REASONS]
        told = "Items of the newest version in quarantine, by the most frequent reasons."
        yield from gauges("dataset_rejected_items", told, ("reason",), {why: float(count) for why, count in reasons})
        told = "How far the newest version moved from the one before."
        yield from gauges("dataset_drift", told, ("of",), found.drift)


class Stages:
    """Their receipts of the last time that they ran."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._receipts: Files[dict[str, float]] = Files(_numbers)
        self._validation = Files(Validation.model_validate)

    def __call__(self) -> Iterator[Metric]:
        folder = self._workspace / stages.RECEIPTS
        work = {path.stem: told["work_s"] for path, told in self._receipts.all(folder, "*.json") if "work_s" in told}
        told = "How long the work of each stage took when it last ran."
        yield from gauges("stage_work_seconds", told, ("stage",), work)
        done = self._validation.read(self._workspace / stages.VALIDATION)
        if done is None:
            return
        items = {"validate": done.items, "preprocess": done.accepted}
        rates = {name: count / work[name] for name, count in items.items() if work.get(name)}
        told = "Items that a stage worked through a second when it last ran."
        yield from gauges("stage_items_per_second", told, ("stage",), rates)


class Training:
    """Of the training that wrote last, also while it is at work."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._histories: Files[tuple[dict[str, Any], float | None]] = Files(_newest_tick)

    def __call__(self) -> Iterator[Metric]:
        found = (self._workspace / stages.CHECKPOINTS).glob("[!.]*/history.json")
        times = {path: path.stat().st_mtime for path in found}
        if not times:
            return
        path = max(times, key=lambda path: times[path])
        told = self._histories.read(path)
        if told is None:
            raise ValueError("its history can't be read")
        tick, nfd = told
        for field, (name, what) in TRAINING.items():
            yield from gauge(name, what, tick.get(field))
        losses = {"generator": tick["loss_g"], "discriminator": tick["loss_d"]}
        yield from gauges("training_loss", "Losses of the last training, lately.", ("network",), losses)
        yield from gauge("training_snapshot_nfd", "nFD of the last snapshot that the last training judged.", nfd)
        when = "When the last training wrote last, in Unix time."
        yield from gauge("training_last_update_timestamp_seconds", when, times[path])


class Batches:
    """Those that were delivered from this workspace."""

    def __init__(self, workspace: Path) -> None:
        self._workspace, self._receipts = workspace, Files(BatchReceipt.model_validate)

    def __call__(self) -> Iterator[Metric]:
        totals: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        costs: defaultdict[tuple[str, ...], float] = defaultdict(float)
        last: dict[str, BatchReceipt] = {}
        for _, one in sorted(self._receipts.all(self._workspace / BATCHES, "[!.]*.json"), key=lambda p: p[1].at):
            last[one.order] = one
            costs[one.order, one.currency] += one.money
            for name in ("items", "seconds", "core_seconds", "dropped"):
                totals[name][one.order] += getattr(one, name)
            totals["batches"][one.order] += 1
        told = "Batches that were delivered, by order."
        yield from counters("batches", told, ("order",), totals["batches"])
        yield from counters("batch_items", "Items of delivered batches.", ("order",), totals["items"])
        told = "Candidates for delivered batches that filters refused."
        yield from counters("batch_dropped_items", told, ("order",), totals["dropped"])
        told = "How long making delivered batches took."
        yield from counters("batch_seconds", told, ("order",), totals["seconds"])
        told = "Seconds of one core that delivered batches took."
        yield from counters("batch_core_seconds", told, ("order",), totals["core_seconds"])
        told = "What delivered batches cost, by their records."
        yield from counters("batch_cost", told, ("order", "currency"), costs)
        rates = {order: one.items / one.seconds for order, one in last.items() if one.seconds}
        told = "Items a second at which each order's last batch was made."
        yield from gauges("batch_items_per_second", told, ("order",), rates)


def _numbers(told: Mapping[str, Any]) -> dict[str, float]:
    """A receipt of a stage that failed has none."""
    return {name: float(value) for name, value in told.items() if isinstance(value, int | float)}


def _newest_tick(ticks: list[dict[str, Any]]) -> tuple[dict[str, Any], float | None]:
    """And the last measure of a snapshot."""
    nfds = [tick["nfd"] for tick in ticks if tick.get("nfd") is not None]
    return ticks[-1], nfds[-1] if nfds else None
