"""Speed of training and of generation beside what bounds them: the bare step, the bare forward, the processor.

python -m tests.bench.speed --source mnist.tar.xz [--rounds 5] [-S train.batch=128]
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from pipeline.model.bundle import CHUNK, Bundle
from pipeline.model.noise import item_seeds
from pipeline.settings import Params, Train
from pipeline.shards import ShardsReader
from pipeline.training.data import BatchSource, spread
from pipeline.training.ranks import Ranks
from pipeline.training.state import TrainingState, new_state
from pipeline.training.step import device_here, shape_of, train
from pipeline.training.update import Rules, on_device, update
from tests.bench.dataset import params_of, shards_of


class FlopCounter(TorchDispatchMode):
    """PyTorch's own counts, without its tracking of modules, which a gradient of a gradient breaks."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if (count := flop_registry.get(func._overloadpacket)) is not None:
            self.total += count(*args, **(kwargs or {}), out_val=out)
        return out


class OneBatch(BatchSource):
    """Always the same batch, in memory: a step without its data pipeline."""

    def at(self, images_seen: int, part: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
        if not hasattr(self, "_batch"):
            self._batch = super().at(0)
        return self._batch


def game(params: Params, shards: ShardsReader, source: BatchSource, bf16: bool) -> tuple[TrainingState, Rules]:
    settings, device = params.train, device_here()
    rules = Rules(settings, Ranks(), device, 10**9, 1e-4, spread(shards.train_images), bf16)
    return new_state(settings, shape_of(settings, shards.meta), device), rules


def source_of(kind: type[BatchSource], settings: Train, shards: ShardsReader) -> BatchSource:
    return kind(shards.train_images, shards.train_labels, settings.batch, 0, settings.balance)


def bare_rate(params: Params, shards: ShardsReader, steps: int, bf16: bool) -> float:
    """Images a second of nothing but steps on one batch."""
    source = source_of(OneBatch, params.train, shards)
    state, rules = game(params, shards, source, bf16)
    for _ in range(params.train.penalty_every):
        update(state, rules, source)
    start = time.perf_counter()
    for _ in range(steps):
        update(state, rules, source)
    return steps * source.batch / (time.perf_counter() - start)


def loop_rate(params: Params, shards: ShardsReader, steps: int, bf16: bool, processes: int = 1) -> float:
    """Images a second of the training step as it is, from its ticks: data, checks, checkpoints and pictures with it."""
    precision = "bf16" if bf16 else "fp32"
    budget = {"images_seen": steps * params.train.batch, "precision": precision, "snapshots": 1}
    settings, rates = params.train.model_copy(update=budget), []
    with tempfile.TemporaryDirectory() as folder:
        root, started = Path(folder), list[tuple[float, int]]()

        def watch(tick: object, preview: object) -> None:
            started.append((time.perf_counter(), tick.images_seen))  # type: ignore[attr-defined]
            rates.append(tick.rate_per_s)  # type: ignore[attr-defined]

        train(settings, shards, root / "runs", root / "b", root / "c.csv", watch, processes=processes)
    if len(started) < 3:
        return float(median(rates))
    (first, seen), (last, in_the_end) = started[0], started[-2]
    return (in_the_end - seen) / (last - first)


def data_share(params: Params, shards: ShardsReader, rate: float) -> float:
    """What serving a batch takes, as a share of a step."""
    source, device = source_of(BatchSource, params.train, shards), device_here()
    start = time.perf_counter()
    for step in range(200):
        on_device(*source.at(step * source.batch), device)
    return (time.perf_counter() - start) / 200 / (source.batch / rate)


def flops_per_image(params: Params, shards: ShardsReader) -> float:
    """Of the convolutions and matrix products of a step, the penalty's share in it."""
    source = source_of(OneBatch, params.train, shards)
    state, rules = game(params, shards, source, False)
    with FlopCounter() as counter:
        for _ in range(params.train.penalty_every):
            update(state, rules, source)
    return counter.total / (params.train.penalty_every * source.batch)


def matrix_rate(bf16: bool, side: int = 1024) -> float:
    """FLOP a second of one large matrix product."""
    a = torch.randn(side, side, device=device_here(), dtype=torch.bfloat16 if bf16 else torch.float32)
    times = []
    for _ in range(12):
        start = time.perf_counter()
        float((a @ a)[0, 0])
        times.append(time.perf_counter() - start)
    return float(2 * side**3 / median(times))


def generation(params: Params, shards: ShardsReader, items: int = 4096) -> tuple[float, float]:
    """(images a second of Bundle.sample, of the bare forward pass in the same chunks)."""
    net = new_state(params.train, shape_of(params.train, shards.meta), device_here()).average
    bundle = Bundle(net, shards.meta.classes, "bench")
    labels = np.zeros(items, np.int64)
    z, y = torch.randn(CHUNK, net.shape.z_dim), torch.zeros(CHUNK, dtype=torch.int64)
    bundle.sample(labels[:CHUNK], labels[:CHUNK])
    start = time.perf_counter()
    bundle.sample(labels, item_seeds(0, np.arange(items)))
    sampled, start = time.perf_counter() - start, time.perf_counter()
    with torch.inference_mode():
        for _ in range(items // CHUNK):
            net(z, y)
    return items / sampled, items / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample://digits", help="any source that genloop run takes")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of measurements")
    parser.add_argument("--seconds", type=float, default=12.0, help="of training in each measurement")
    parser.add_argument("-S", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE")
    chosen = parser.parse_args()
    params = params_of([f"collect.source={json.dumps(chosen.source)}", *chosen.settings])
    shards = shards_of(params)
    processes = torch.cuda.device_count() or torch.get_num_threads()
    table = Table(
        title=f"{torch.get_num_threads()} threads, batch {params.train.batch}, {shards.meta.size} pixels a side"
    )
    for heading in ("", "fp32", "bf16"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows: dict[str, list[str]] = {}
    flops = flops_per_image(params, shards)
    for bf16 in (False, True):
        steps = max(8, int(bare_rate(params, shards, 8, bf16) * chosen.seconds / params.train.batch))
        bare, loop, shared = [], [], []
        for _ in range(chosen.rounds):
            bare.append(bare_rate(params, shards, steps, bf16))
            loop.append(loop_rate(params, shards, steps, bf16))
            shared.append(loop_rate(params, shards, steps, bf16, processes))
        made, forward = zip(*(generation(params, shards) for _ in range(chosen.rounds)), strict=True)
        peak = matrix_rate(bf16)
        values = {
            "bare step, images/s": f"{median(bare):,.0f}",
            "milliseconds a step": f"{1000 * params.train.batch / median(bare):.1f}",
            "loop, images/s": f"{median(loop):,.0f}",
            "loop / bare step, paired": f"{median(a / b for a, b in zip(loop, bare, strict=True)):.3f}",
            f"loop by {processes} processes, images/s": f"{median(shared):,.0f}",
            "data / step": f"{data_share(params, shards, median(bare)):.3f}",
            "GFLOP/s, share of a large matrix product's": f"{flops * median(bare) / 1e9:.0f}, "
            f"{flops * median(bare) / peak:.2f}",
            "generation, images/s": f"{median(made):,.0f}",
            "generation / bare forward, paired": f"{median(a / b for a, b in zip(made, forward, strict=True)):.3f}",
        }
        for name, value in values.items():
            rows.setdefault(name, []).append(value)
    for name, cells in rows.items():
        table.add_row(name, *cells)
    Console(width=120).print(table)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
