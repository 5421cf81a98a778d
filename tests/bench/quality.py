"""Quality per minute: our recipe and the tutorial GAN, trained for the same time, judged by the same code.

python -m tests.bench.quality --source ../shared/data/mnist-png.tar.xz --minutes 5 [--seed 0]… [-S train.gamma=0.5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipeline.evaluate.step import Sampler, score
from pipeline.files import write_json
from pipeline.media.image import grid
from pipeline.model.bundle import load_bundle
from pipeline.progress import bar
from pipeline.settings import Params, override_params
from pipeline.shards import ShardsReader
from pipeline.training.step import Tick, train
from tests.bench.dataset import BUILD, ROOT, shards_of
from tests.bench.tutorial_gan import DCGAN, Adam, train_tutorial_gan

METRICS = ("nfd", "fd", "precision", "recall", "coverage", "memorised", "tstr")


@dataclass(frozen=True)
class Trained:
    sampler: Sampler
    images_seen: int
    seconds: float


@dataclass(frozen=True)
class Result:
    """One recipe with one seed, judged on `samples` of the holdout."""

    recipe: str
    seed: int
    minutes: float
    rate_per_s: float
    samples: int
    space: str
    metrics: dict[str, float]
    floor: dict[str, float]


def ours(params: Params, shards: ShardsReader, seed: int) -> Trained:
    settings = params.train.model_copy(update={"seed": seed})
    last = [0]
    with tempfile.TemporaryDirectory() as folder, bar(f"ours, seed {seed}", "images") as show:

        def watch(tick: Tick, preview: object) -> None:
            last[0] = tick.images_seen
            show(tick.images_seen, tick.budget, f"{tick.rate_per_s:,.0f}/s")

        root, start = Path(folder), time.perf_counter()
        train(settings, shards, root / "runs", root / "bundle", root / "curves.csv", watch)
        return Trained(load_bundle(root / "bundle").sample, last[0], time.perf_counter() - start)


def tutorial(adam: Adam, params: Params, shards: ShardsReader, seed: int) -> Trained:
    with bar(f"tutorial GAN, seed {seed}", "images") as show:
        gan = train_tutorial_gan(shards, 60 * params.train.minutes, seed, adam, lambda images: show(images, None, ""))
    return Trained(gan.sample, gan.images_seen, gan.seconds)


RECIPES: dict[str, Callable[[Params, ShardsReader, int], Trained]] = {
    "tutorial": partial(tutorial, Adam()),
    "tutorial-dcgan": partial(tutorial, DCGAN),
    "ours": ours,
}


def measure(name: str, params: Params, shards: ShardsReader, seed: int, out: Path) -> Result:
    trained = RECIPES[name](params, shards, seed)
    judged = score(params.evaluate, shards, trained.sampler, name, BUILD / "evaluators")
    grid(judged.samples[judged.labels.argsort(kind="stable")][:: max(1, len(judged.labels) // 100)][:100], 10, 2).save(
        out / f"{name}-{seed}.png"
    )
    card, rate = judged.scorecard, trained.images_seen / trained.seconds
    return Result(name, seed, trained.seconds / 60, rate, card.samples, card.space, card.metrics, card.floor)


def report(results: list[Result]) -> Table:
    """One row a recipe: the mean over seeds and, from two seeds on, ± the standard deviation."""
    table = Table(title=f"{results[0].samples:,} samples, {results[0].space}, {results[0].minutes:.1f} minutes each")
    for heading in ("recipe", "seeds", "images/s", *METRICS):
        table.add_column(heading, justify="left" if heading == "recipe" else "right")
    table.add_row("real train set", "", "", *(_cell([results[0].floor.get(m)]) for m in METRICS))
    for name in dict.fromkeys(result.recipe for result in results):
        mine = [result for result in results if result.recipe == name]
        rate = f"{statistics.mean(result.rate_per_s for result in mine):,.0f}"
        table.add_row(name, str(len(mine)), rate, *(_cell([r.metrics.get(m) for r in mine]) for m in METRICS))
    return table


def _cell(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    spread = f" ± {statistics.stdev(known):.2g}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.4g}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample://digits", help="any source that genloop run takes")
    parser.add_argument("--minutes", type=float, default=1.0, help="of training, each")
    parser.add_argument("--seed", type=int, action="append", help="may be given more than once; 0 if left out")
    parser.add_argument("--recipe", action="append", choices=list(RECIPES), help="all if left out")
    parser.add_argument("-S", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE")
    chosen = parser.parse_args()
    pairs = [f"collect.source={json.dumps(chosen.source)}", f"train.minutes={chosen.minutes}", *chosen.settings]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "params.yaml"
        copy.write_text((ROOT / "params.yaml").read_text())
        params = override_params(copy, pairs)
    shards = shards_of(params)
    out = BUILD / "quality" / time.strftime("%Y%m%d-%H%M%S")
    out.mkdir(parents=True)
    results = []
    for seed in chosen.seed or [0]:
        for name in chosen.recipe or RECIPES:
            results.append(measure(name, params, shards, seed, out))
            write_json(out / "results.json", {"settings": pairs, "results": [asdict(result) for result in results]})
    Console(width=160).print(report(results))
    print(f"results and pictures: {out}")


if __name__ == "__main__":
    main()
