"""A large batch, beside the rate that each of its steps reaches alone on the same cores; marking told apart.

All steps compute, on the same cores: a batch can't be faster than cores / (CPU seconds an item of all its steps). What
others on the machine take is in the rates, and not in CPU seconds.

The model is trained for a moment on the source's images, and candidates are held against all of these.

python -m tests.bench.batch --source mnist.tar.xz --items 100000
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from flows import services
from pipeline.adapters.store import S3Store
from pipeline.files import sha256_json
from pipeline.generate import part
from pipeline.generate.batches import read_manifest
from pipeline.generate.filters import Verdicts, judge
from pipeline.generate.making import plan
from pipeline.generate.order import Order, make_order
from pipeline.generate.part import Task, Workplace, claim_of
from pipeline.generate.publish import IMPORTS, deliver
from pipeline.generate.receipt import Receipt
from pipeline.generate.release import Provenance, spent
from pipeline.generate.screen import make_screen
from pipeline.generate.taking import take
from pipeline.marks.signer import SignerSettings
from pipeline.media.encoding import encode, sized
from pipeline.orders import BatchOrder
from pipeline.parallel import each
from pipeline.progress import bar
from pipeline.settings import Costs, Evaluate, Train
from pipeline.training.step import train
from pipeline.values import ModelVersion, Scorecard
from tests.bench.dataset import BUILD, params_of, shards_of
from tests.peak import PeakMemory

LIMIT, SECONDS = 0.8, 4.0
LOOK_S = 3.0  # at memory: each look takes some hundredths of a second of a core
MARKING = ("mark", "read back and verify")
STEPS = ("sample", "screen", "encode", "mark", "pack and show", "upload", "read back and verify")
OPEN = {"copies": 0.001, "odd": 1.0, "confidence": 0.0, "alike": True}


@dataclass(frozen=True)
class Made:
    """A trained model's folder, its id and its classes, and the folder of its screen."""

    bundle: Path
    id: str
    classes: tuple[str, ...]
    screen: Path


def prepared(source: str, images_seen: int) -> Made:
    shards = shards_of(params_of([f"collect.source={source}"]))
    folder = BUILD / f"batch-{sha256_json([shards.meta.id, images_seen])[:12]}"
    if not (folder / "screen").exists():
        settings = Train(images_seen=images_seen, snapshots=1)
        train(settings, shards, folder / "runs", folder / "bundle", folder / "curves.csv", lambda tick, _: None)
        make_screen(Evaluate(), shards, folder / "kept", folder / "screen", lambda *_: None)
    from pipeline.model.bundle import load_bundle

    bundle = load_bundle(folder / "bundle")
    return Made(folder / "bundle", bundle.id, bundle.classes, folder / "screen")


def order_of(made: Made, items: int, part_items: int, seed: int) -> Order:
    model = ModelVersion(name="bench", version=1, alias="", bundle=made.id, uri="")
    asked = BatchOrder.model_validate(
        {"count": items, "part_items": part_items, "seed": seed, "candidates": 1.1, "filters": OPEN, "floor": 0.5}
    )
    return make_order("bench", asked, "", model, made.classes, "s", "", {})


@dataclass(frozen=True)
class Job:
    """A step of a part, to be repeated for `seconds`; worker: so that every process has one."""

    task: Task
    step: str
    seconds: float
    worker: int


class Speed(NamedTuple):
    """Of one process, or of all together: items a second, and milliseconds of CPU an item."""

    rate: float
    cpu_ms: float


def alone(job: Job) -> Speed:
    """One process that does nothing but this step."""
    import torch

    torch.set_num_threads(1)
    step = steps_of(job.task)[job.step]
    step()
    start, cpu, rounds = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < job.seconds:
        step()
        rounds += 1
    items = rounds * job.task.order.asked.part_items
    return Speed(items / (time.perf_counter() - start), 1000 * (time.process_time() - cpu) / items)


def steps_of(task: Task) -> dict[str, Callable[[], object]]:
    """Each step of a part as a function of what the steps before it made."""
    order, kit, clock = task.order, part._kit(task.at, task.order), part.Clock()
    planned = plan(order, task.part)
    places, recipes = planned.places, planned.recipes
    images = kit.bundle.make(recipes)

    def screened() -> Verdicts:
        asked = (order.asked.filters, False, kit.screen, kit.policies, images)
        return judge(*asked, places.candidate_labels, places.candidate_seeds, order.classes)

    verdicts = screened()
    chosen = take(order, places, verdicts, kit.preference, task.part)
    items = list(part._items(task, kit, clock, places, chosen.rows, images, Counter()))
    plain = [encode(sized(images[item.row], images.shape[-1]), order.asked.image) for item in items]
    claim = claim_of(order, 0, "x", task.at.made_at)
    blobs = part._blobs(task, kit, clock, items, recipes, verdicts, chosen)
    part._upload(task, blobs)  # for who reads it back
    return {
        "sample": lambda: kit.bundle.make(recipes),
        "screen": screened,
        "encode": lambda: [encode(sized(images[item.row], images.shape[-1]), order.asked.image) for item in items],
        "mark": lambda: [kit.marker.mark(data, "image/png", claim) for data in plain],
        "pack and show": lambda: part._blobs(task, kit, clock, items, recipes, verdicts, chosen),
        "upload": lambda: part._upload(task, blobs),
        "read back and verify": lambda: part._read_back(task, blobs, items, kit.signer),
    }


def speeds(order: Order, at: Workplace, seconds: float) -> dict[str, Speed]:
    """Of each step alone, on all cores at once."""
    cores, names = os.cpu_count() or 1, STEPS
    found = {}
    for name in names:
        jobs = [Job(Task(order, worker, at), name, seconds, worker) for worker in range(cores)]
        done = list(each(alone, jobs, IMPORTS))
        found[name] = Speed(sum(one.rate for one in done), sum(one.cpu_ms for one in done) / cores)
    return found


def cpu_s() -> float:
    """That this process and all that it started have taken, workers that have ended too."""
    own = psutil.Process()
    return sum(sum(one.cpu_times()[:4]) for one in (own, *own.children(recursive=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--part-items", type=int, default=1000)
    parser.add_argument("--images-seen", type=int, default=100_000, help="how long the model is trained")
    chosen = parser.parse_args()
    made = prepared(chosen.source, chosen.images_seen)
    with tempfile.TemporaryDirectory() as temporary, services.for_run(Path(temporary), ["s3"]) as run:
        run.wait()
        store = S3Store("genloop", run["s3"].url, services.credentials_file(Path(temporary)))
        at = Workplace(Path(temporary), made.bundle, made.screen, store, SignerSettings(), "2026-01-01T00:00:00+00:00")
        steps = speeds(order_of(made, chosen.items, chosen.part_items, 0), at, SECONDS)
        order = order_of(made, chosen.items, chosen.part_items, 1)
        card = Scorecard(model="m", shards="s", space="", samples=0, metrics={}, floor={})
        with PeakMemory(os.getpid(), look_s=LOOK_S) as peak, bar("batch", "items") as show:
            start, cpu = time.perf_counter(), cpu_s()
            provenance = Provenance(scorecard=card, tags={})
            tell = partial(show, total=chosen.items, note="")
            batch = deliver(lambda bucket: store, order, at, provenance, Costs(), tell)
            took, cpu = time.perf_counter() - start, cpu_s() - cpu
        receipts = [Receipt.model_validate(one) for one in read_manifest(store, batch)["parts"]]
    told(steps, Batched(batch.items, took, cpu, peak.bytes), spent(receipts))


@dataclass(frozen=True)
class Batched:
    """What the batch took. cpu_s: of all cores, loading and the store's server with it; memory: at its peak, bytes."""

    items: int
    seconds: float
    cpu_s: float
    memory: int

    @property
    def speed(self) -> Speed:
        return Speed(self.items / self.seconds, 1000 * self.cpu_s / self.items)


def told(steps: dict[str, Speed], batched: Batched, seconds: dict[str, float]) -> None:
    cores, slowest, whole = os.cpu_count() or 1, min(step.rate for step in steps.values()), batched.speed
    table = Table("step, alone on all cores", "items/s", "CPU ms an item")

    def row(name: str, *names: str) -> None:
        rate = 1 / sum(1 / steps[one].rate for one in names)
        table.add_row(name, f"{rate:,.0f}", f"{sum(steps[one].cpu_ms for one in names):.2f}")

    for name in steps:
        row(name, name)
    row("all of them, if nothing else cost", *steps)
    row("marking and reading back", *MARKING)
    row("all but these", *(name for name in steps if name not in MARKING))
    table.add_row("[b]the batch[/b]", f"[b]{whole.rate:,.0f}[/b]", f"[b]{whole.cpu_ms:.2f}[/b]")
    Console(width=100).print(table)
    limit = 1000 * cores / sum(step.cpu_ms for step in steps.values())
    print(f"{batched.items:,} items in {batched.seconds:.1f} s: {whole.rate / slowest:.0%} of the slowest step alone")
    print(f"(wanted: {LIMIT:.0%}; steps that share the cores can reach {limit / undisturbed(steps, cores):.0%} of it)")
    print(f"by CPU time {cores} cores can make {limit:,.0f} items/s of the steps; the batch {whole.rate / limit:.0%}")
    print(f"it had {batched.cpu_s / (cores * batched.seconds):.0%} of the cores' time; others had the rest, or none")
    print(f"peak memory {batched.memory / 2**20:,.0f} MiB; {cores} cores")
    print("core-seconds in the batch: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))


def undisturbed(steps: dict[str, Speed], cores: int) -> float:
    """Items a second of the slowest step, where nobody else has the cores."""
    return 1000 * cores / max(step.cpu_ms for step in steps.values())


if __name__ == "__main__":
    main()
