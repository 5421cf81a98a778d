"""What a training run is to do on this machine, measured once and kept in the run's folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import torch

from pipeline.files import write_json
from pipeline.model.networks import Shape
from pipeline.settings import Train
from pipeline.training.data import BatchSource, spread
from pipeline.training.memory import fewer, held
from pipeline.training.ranks import Ranks
from pipeline.training.state import new_state
from pipeline.training.update import Rules, update

PROBE_S, WINDOWS, PROBE_LR = 4.0, 6, 1e-4
STEPS_SHARE = 0.97  # of the time; the rest goes to checkpoints and pictures
GAIN = 1.05  # how much faster another way must be to be taken in place of the plain one


@dataclass(frozen=True)
class Plan:
    """images: the budget. spread: of the training images' pixels. rates: images a second of each way tried.

    at_once: images that the memory was found to hold; 0: the batch.
    """

    images: int
    spread: float
    bf16: bool
    channels_last: bool
    rate_per_s: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    at_once: int = 0


@dataclass(frozen=True)
class Ground:
    """What a plan is made for. overhead_s: tells what the run will spend on other things than steps."""

    settings: Train
    shape: Shape
    source: BatchSource
    device: torch.device
    ranks: Ranks
    overhead_s: Callable[[], float]


def plan_of(ground: Ground, folder: Path) -> Plan:
    """The plan in `folder`, or one made now; the first process decides, all hear it."""
    path, ranks = folder / "plan.json", ground.ranks
    kept = path.read_text() if ranks.first and path.exists() else "null"
    if known := json.loads(ranks.told(kept.encode())):
        return Plan(**known)
    plan = Plan(**json.loads(ranks.told(json.dumps(asdict(_fitting(ground))).encode())))
    if ranks.first:
        keep_plan(plan, folder)
    return plan


def keep_plan(plan: Plan, folder: Path) -> None:
    write_json(folder / "plan.json", asdict(plan))


def _fitting(ground: Ground) -> Plan:
    """Measured with as many images at a time as the memory holds."""
    at_once = 0
    while (plan := held(partial(_measured, ground, at_once), ground.ranks)) is None:
        at_once = fewer(at_once, ground.source.batch)
    return plan


def _measured(ground: Ground, at_once: int) -> Plan:
    start, settings, batch = time.perf_counter(), ground.settings, ground.source.batch
    variance = spread(ground.source.images)
    ways = ways_for(settings, ground.device)
    by_minutes = not settings.images_seen
    rates = _rates(ground, variance, ways, at_once) if by_minutes or len(ways) > 1 else {}
    way = fastest(rates) if len(ways) > 1 else ways[0]
    images, rate = settings.images_seen, rates.get(way, 0.0)
    if by_minutes:
        overhead_s = ground.overhead_s()
        left_s = 60 * settings.minutes - (time.perf_counter() - start) - overhead_s
        images = int(STEPS_SHARE * rate * max(left_s, 0.0))
    told = {name_of(other): round(value, 1) for other, value in rates.items()}
    return Plan(max(images // batch, 1) * batch, variance, *way, round(rate, 1), told, at_once)


Way = tuple[bool, bool]  # bf16, channels_last


def name_of(way: Way) -> str:
    return f"{'bf16' if way[0] else 'fp32'} {'channels_last' if way[1] else 'channels_first'}"


def ways_for(settings: Train, device: torch.device) -> list[Way]:
    """Precision and memory layout to choose from."""
    if settings.precision != "auto":
        return [(settings.precision == "bf16", True)]
    if device.type == "cuda":
        return [(torch.cuda.is_bf16_supported(), True)]
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.cpu._is_avx512_bf16_supported()
    return list(product([False, True] if has_bf16 else [False], [False, True]))


def fastest(rates: dict[Way, float]) -> Way:
    """The fastest way; a plainer one unless another is faster by more than noise."""
    best = min(rates)
    for way in sorted(rates):
        if rates[way] > GAIN * rates[best]:
            best = way
    return best


def _rates(ground: Ground, variance: float, ways: list[Way], at_once: int) -> dict[Way, float]:
    """Images a second of each way: trainings that are thrown away, in turns, so that a hiccup meets all alike."""
    settings, source, device, ranks = ground.settings, ground.source, ground.device, ground.ranks
    seconds = min(PROBE_S, 3 * settings.minutes) / (WINDOWS * len(ways))
    rules = [Rules(settings, ranks, device, 10**9, PROBE_LR, variance, bf16, at_once=at_once) for bf16, _ in ways]
    states = [new_state(settings, ground.shape, device, channels_last) for _, channels_last in ways]
    steps = settings.penalty_every

    def window(index: int, steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            update(states[index], rules[index], source)
        _settled(device)
        return time.perf_counter() - start

    for index in range(len(ways)):  # the libraries choose their kernels at first sight
        window(index, 2)
    spent = window(0, steps)
    rounds = max(1, int(json.loads(ranks.told(json.dumps(seconds / spent).encode()))))
    times = [[window(index, rounds * steps) for index in range(len(ways))] for _ in range(WINDOWS)]
    images = rounds * steps * source.batch
    return {way: images / median(row[index] for row in times) for index, way in enumerate(ways)}


def _settled(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
