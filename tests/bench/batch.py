"""A large batch, beside the rate that each of its steps reaches alone on the same cores; marking told apart.

The model is trained for a moment on the source's images, and candidates are held against all of these.

python -m tests.bench.batch --source ../shared/data/mnist-png.tar.xz --items 100000
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

from rich.console import Console
from rich.table import Table

from flows import services
from pipeline.adapters.store import S3Store
from pipeline.files import sha256_json
from pipeline.generate import part
from pipeline.generate.batches import read_manifest
from pipeline.generate.filters import Verdicts, judge
from pipeline.generate.making import plan
from pipeline.generate.order import Order, filled, make_order
from pipeline.generate.part import Task, Workplace, claim_of
from pipeline.generate.publish import IMPORTS, deliver
from pipeline.generate.receipt import Receipt
from pipeline.generate.release import Provenance, spent
from pipeline.generate.screen import make_screen
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


def alone(job: Job) -> float:
    """Items a second of one process that does nothing but this step."""
    import torch

    torch.set_num_threads(1)
    step = steps_of(job.task)[job.step]
    step()
    start, rounds = time.perf_counter(), 0
    while time.perf_counter() - start < job.seconds:
        step()
        rounds += 1
    return rounds * job.task.order.asked.part_items / (time.perf_counter() - start)


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
    items = list(part._items(task, kit, clock, places, filled(places, verdicts.good), images, Counter()))
    plain = [encode(sized(images[item.row], images.shape[-1]), order.asked.image) for item in items]
    claim = claim_of(order, 0, "x", task.at.made_at)
    blobs = part._blobs(task, kit, clock, items, recipes, verdicts)
    part._upload(task, blobs)  # for who reads it back
    return {
        "sample": lambda: kit.bundle.make(recipes),
        "screen": screened,
        "encode": lambda: [encode(sized(images[item.row], images.shape[-1]), order.asked.image) for item in items],
        "mark": lambda: [kit.marker.mark(data, "image/png", claim) for data in plain],
        "pack and show": lambda: part._blobs(task, kit, clock, items, recipes, verdicts),
        "upload": lambda: part._upload(task, blobs),
        "read back and verify": lambda: part._read_back(task, blobs, items, kit.signer),
    }


def rates(order: Order, at: Workplace, seconds: float) -> dict[str, float]:
    """Items a second of each step alone, on all cores at once."""
    cores, names = os.cpu_count() or 1, STEPS
    found = {}
    for name in names:
        jobs = [Job(Task(order, worker, at), name, seconds, worker) for worker in range(cores)]
        found[name] = sum(each(alone, jobs, IMPORTS))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="../shared/data/mnist-png.tar.xz")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--part-items", type=int, default=1000)
    parser.add_argument("--images-seen", type=int, default=100_000, help="how long the model is trained")
    chosen = parser.parse_args()
    made = prepared(chosen.source, chosen.images_seen)
    with tempfile.TemporaryDirectory() as temporary, services.for_run(Path(temporary), ["s3"]) as run:
        run.wait()
        store = S3Store("genloop", run["s3"].url, services.credentials_file(Path(temporary)))
        at = Workplace(Path(temporary), made.bundle, made.screen, store, SignerSettings(), "2026-01-01T00:00:00+00:00")
        alone_rates = rates(order_of(made, chosen.items, chosen.part_items, 0), at, SECONDS)
        order = order_of(made, chosen.items, chosen.part_items, 1)
        card = Scorecard(model="m", shards="s", space="", samples=0, metrics={}, floor={})
        with PeakMemory(os.getpid(), look_s=1) as peak, bar("batch", "items") as show:
            start = time.perf_counter()
            provenance = Provenance(scorecard=card, tags={})
            tell = partial(show, total=chosen.items, note="")
            batch = deliver(lambda bucket: store, order, at, provenance, Costs(), tell)
            took = time.perf_counter() - start
        receipts = [Receipt.model_validate(one) for one in read_manifest(store, batch)["parts"]]
    told(alone_rates, batch.items, took, peak.bytes, spent(receipts))


def told(rates_: dict[str, float], items: int, took: float, memory: int, seconds: dict[str, float]) -> None:
    cores, slowest = os.cpu_count() or 1, min(rates_.values())
    table = Table("step, alone on all cores", "items/s", "core-ms an item")
    for name, rate in rates_.items():
        table.add_row(name, f"{rate:,.0f}", f"{1000 * cores / rate:.2f}")
    everything = 1 / sum(1 / rate for rate in rates_.values())
    marks = 1 / sum(1 / rates_[name] for name in MARKING)
    unmarked = 1 / sum(1 / rate for name, rate in rates_.items() if name not in MARKING)
    table.add_row("all of them, if nothing else cost", f"{everything:,.0f}", "")
    table.add_row("all but marking and reading back", f"{unmarked:,.0f}", "")
    table.add_row("[b]the batch[/b]", f"[b]{items / took:,.0f}[/b]", "")
    Console(width=100).print(table)
    print(
        f"{items:,} items in {took:.1f} s: {items / took / slowest:.0%} of the slowest step alone (limit {LIMIT:.0%});"
    )
    print(f"marking and reading back alone: {marks:,.0f} items/s")
    print(f"peak memory {memory / 2**20:,.0f} MiB; {cores} cores")
    print("core-seconds in the batch: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))


if __name__ == "__main__":
    main()
