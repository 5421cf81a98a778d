"""Quality per minute: our recipe and the tutorial GAN, trained for the same time, judged by the same code.

python -m tests.bench.quality --source mnist.tar.xz --minutes 5 [--seed 0]… [--subset 2000]
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

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline.evaluate.choice import held_out_rows, judge_of
from pipeline.evaluate.space import Sampler, halves
from pipeline.evaluate.step import score
from pipeline.files import write_json
from pipeline.media.image import grid
from pipeline.model.bundle import load_bundle
from pipeline.progress import bar
from pipeline.settings import Params
from pipeline.shards import ShardsReader
from pipeline.training.history import Tick
from pipeline.training.step import train
from tests.bench.dataset import BUILD, params_of, shards_of
from tests.bench.tutorial_gan import DCGAN, Adam, TutorialGan, train_tutorial_gan

METRICS = ("nfd", "nfd_inf", "precision", "recall", "coverage", "memorised", "tstr", "nfd_chosen", "nfd_other")
CACHE = BUILD / "evaluators"

Distance = Callable[[Sampler], float]
Curve = list[tuple[float, float]]  # seconds of training, nFD on the half of the holdout that is chosen on


@dataclass(frozen=True)
class Trained:
    sampler: Sampler
    images_seen: int
    seconds: float
    curve: Curve


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
    curve: Curve


def ours(params: Params, shards: ShardsReader, seed: int, distance: Distance, **settings: float) -> Trained:
    """As `genloop run` trains: by all cores, the best of some snapshots kept."""
    chosen = params.train.model_copy(update={"seed": seed, **settings})
    curve: Curve = []
    last = [0]
    with tempfile.TemporaryDirectory() as folder, bar(f"ours, seed {seed}", "images") as show:
        root, start = Path(folder), time.perf_counter()

        def watch(tick: Tick, preview: object) -> None:
            last[0] = tick.images_seen
            show(tick.images_seen, tick.budget, f"{tick.rate_per_s:,.0f}/s  augment {tick.augment:.2f}")
            if tick.nfd is not None:
                curve.append((time.perf_counter() - start, tick.nfd))

        train(
            chosen,
            shards,
            root / "runs",
            root / "bundle",
            root / "curves.csv",
            watch,
            judge=lambda bundle: distance(bundle.sample),
            held_out=held_out_rows(shards.meta.holdout_items, params.evaluate),
            processes=0,
        )
        return Trained(load_bundle(root / "bundle").sample, last[0], time.perf_counter() - start, curve)


def tutorial(adam: Adam, params: Params, shards: ShardsReader, seed: int, distance: Distance) -> Trained:
    curve: Curve = []
    with bar(f"tutorial GAN, seed {seed}", "images") as show:

        def look(gan: TutorialGan) -> None:
            curve.append((gan.seconds, distance(gan.sample)))
            show(gan.images_seen, None, "")

        seconds = 60 * params.train.minutes
        gan = train_tutorial_gan(shards, seconds, seed, adam, look, params.train.snapshots - 1)
        look(gan)
    return Trained(gan.sample, gan.images_seen, gan.seconds, curve)


RECIPES: dict[str, Callable[[Params, ShardsReader, int, Distance], Trained]] = {
    "tutorial": partial(tutorial, Adam()),
    "tutorial-dcgan": partial(tutorial, DCGAN),
    "ours": ours,
    "ours-unaugmented": partial(ours, augment_target=0.0),
}
USUAL = ("tutorial", "tutorial-dcgan", "ours")


def measure(name: str, params: Params, shards: ShardsReader, seed: int, out: Path) -> Result:
    """The whole holdout is judged on, so that 10,000 samples stand against 10,000 images.

    A half of it has chosen the snapshot: nfd_chosen and nfd_other, on each half, show what that flatters.
    """
    settings = params.evaluate
    chosen, other = (np.sort(rows) for rows in halves(shards.meta.holdout_items, settings))
    with bar("judge", "") as show:
        on_chosen, on_other = (
            judge_of(settings, shards, rows, CACHE, lambda stage, done, total: show(done, total, stage))
            for rows in (chosen, other)
        )
    trained = RECIPES[name](params, shards, seed, on_chosen)
    judged = score(settings.model_copy(update={"chosen_on": 0.0}), shards, trained.sampler, name, CACHE)
    grid(judged.samples[judged.labels.argsort(kind="stable")][:: max(1, len(judged.labels) // 100)][:100], 10, 2).save(
        out / f"{name}-{seed}.png"
    )
    card, rate = judged.scorecard, trained.images_seen / trained.seconds
    halved = {"nfd_chosen": on_chosen(trained.sampler), "nfd_other": on_other(trained.sampler)}
    return Result(
        recipe=name,
        seed=seed,
        minutes=trained.seconds / 60,
        rate_per_s=rate,
        samples=card.samples,
        space=card.space,
        metrics=card.metrics | halved,
        floor=card.floor,
        curve=trained.curve,
    )


def report(results: list[Result]) -> Table:
    """One row a recipe: the mean over seeds and, from two seeds on, ± the standard deviation."""
    minutes = statistics.mean(result.minutes for result in results)
    table = Table(title=f"{results[0].samples:,} samples, {results[0].space}, {minutes:.1f} minutes each")
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


def draw_curves(results: list[Result], path: Path) -> None:
    """nFD over time, a line a run, a colour a recipe, beside the floor."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    names = list(dict.fromkeys(result.recipe for result in results))
    for result in results:
        times, distances = zip(*result.curve, strict=True)
        first = result is next(other for other in results if other.recipe == result.recipe)
        label, colour = result.recipe if first else None, f"C{names.index(result.recipe)}"
        axes.plot(times, distances, marker="o", markersize=3, color=colour, label=label)
    axes.set(yscale="log", xlabel="seconds of training", ylabel="nFD in percent, half of the holdout")
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample://digits", help="any source that genloop run takes")
    parser.add_argument("--subset", type=int, default=0, help="so many of the training images")
    parser.add_argument("--minutes", type=float, default=1.0, help="of training, each")
    parser.add_argument("--seed", type=int, action="append", help="may be given more than once; 0 if left out")
    parser.add_argument("--recipe", action="append", choices=list(RECIPES), help=f"{', '.join(USUAL)} if left out")
    parser.add_argument("-S", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE")
    chosen = parser.parse_args()
    pairs = [f"collect.source={json.dumps(chosen.source)}", f"train.minutes={chosen.minutes}", *chosen.settings]
    params = params_of(pairs)
    shards = shards_of(params, chosen.subset)
    out = BUILD / "quality" / time.strftime("%Y%m%d-%H%M%S")
    out.mkdir(parents=True)
    results = []
    for seed in chosen.seed or [0]:
        for name in chosen.recipe or USUAL:
            results.append(measure(name, params, shards, seed, out))
            write_json(out / "results.json", {"settings": pairs, "results": [asdict(result) for result in results]})
            draw_curves(results, out / "curves.png")
    Console(width=200).print(report(results))
    print(f"results and pictures: {out}")


if __name__ == "__main__":
    main()
