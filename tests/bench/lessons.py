"""What training makes of reviews: a champion is judged by a hidden taste, and trained again in five ways.

The taste accepts thick strokes alone, about 30% of what there is; the code under test hears only its verdicts.
python -m tests.bench.lessons --source mnist.tar.xz --images 48000 [-S train.width=16]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pipeline.evaluate.choice import judge_of
from pipeline.evaluate.features import features
from pipeline.evaluate.neighbours import neighbours
from pipeline.evaluate.space import Sampler, halves, kept_classifier
from pipeline.files import write_json
from pipeline.lessons import Lessons, read_lessons, write_lessons
from pipeline.media.image import grid
from pipeline.model.bundle import load_bundle
from pipeline.progress import bar
from pipeline.settings import Listening, Params, Train, Tuning
from pipeline.shards import ShardsReader
from pipeline.start import read_start
from pipeline.training.listening import hear
from pipeline.training.step import shape_of, train
from tests.bench.dataset import BUILD, params_of, shards_of

ACCEPTED, SAMPLES = 0.3, 4000
CACHE = BUILD / "evaluators"

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Taste:
    """Accepts what is thicker than `least`: brightness over the length of edges, in pixels."""

    least: float

    def accepts(self, images: Images) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = thickness(images) > self.least
        return found


def thickness(images: Images) -> NDArray[np.float64]:
    ink = images.mean(1, dtype=np.float64) / 255
    edges = np.abs(np.diff(ink, axis=1)).sum((1, 2)) + np.abs(np.diff(ink, axis=2)).sum((1, 2))
    found: NDArray[np.float64] = 2 * ink.sum((1, 2)) / np.maximum(edges, 1)
    return found


@dataclass(frozen=True)
class Result:
    """Of plain samples. nfd: from held-out images; nfd_accepted, coverage: from, and of, those the taste accepts."""

    name: str
    accepted: float
    nfd: float
    nfd_accepted: float
    coverage: float
    seconds: float


@dataclass(frozen=True)
class Bench:
    params: Params
    shards: ShardsReader
    taste: Taste
    verdicts: int
    out: Path

    def trained(self, name: str, settings: Train, lessons: Lessons) -> tuple[Sampler, float]:
        """The sampler and seconds; the networks stay beside the results."""
        rows, _ = (np.sort(half) for half in halves(self.shards.meta.holdout_items, self.params.evaluate))
        weights = hear(settings, lessons, self.shards.meta, shape_of(settings, self.shards.meta)).holdout_weights
        judge, start = self.judge(rows, weights), time.perf_counter()
        with tempfile.TemporaryDirectory() as folder, bar(name, "images") as show:
            root = Path(folder)
            train(
                settings,
                self.shards,
                *(root / "runs", root / "bundle", root / "curves.csv"),
                lambda tick, preview: show(tick.images_seen, tick.budget, ""),
                judge=lambda bundle: judge(bundle.sample),
                held_out=rows,
                lessons=lessons,
                networks=self.out / name,
            )
            return load_bundle(root / "bundle").sample, time.perf_counter() - start

    def judge(self, rows: NDArray[np.int64], weights: NDArray[np.float64] | None = None) -> Callable[[Sampler], float]:
        return judge_of(self.params.evaluate, self.shards, rows, CACHE, lambda *told: None, weights)

    def result(self, name: str, sampler: Sampler, seconds: float) -> Result:
        """On the half of the holdout that no snapshot was chosen on."""
        _, rows = halves(self.shards.meta.holdout_items, self.params.evaluate)
        rows = np.sort(rows)
        liked = rows[self.taste.accepts(self.shards.holdout_images[rows])]
        labels = np.random.default_rng(1).choice(np.asarray(self.shards.train_labels), SAMPLES)
        samples = sampler(labels, np.arange(SAMPLES, dtype=np.int64))
        grid(samples[labels.argsort(kind="stable")][:: SAMPLES // 100][:100], 10, 2).save(self.out / f"{name}.png")
        net = kept_classifier(self.params.evaluate, self.shards, CACHE, lambda *told: None)
        real, fake = features(net, self.shards.holdout_images[liked]), features(net, samples)
        return Result(
            name,
            float(self.taste.accepts(samples).mean()),
            self.judge(rows)(sampler),
            self.judge(liked)(sampler),
            float(neighbours(real, fake, coverage_k=self.params.evaluate.coverage_k).covered.mean()),
            seconds,
        )

    def lessons(self, sampler: Sampler) -> Lessons:
        """Of verdicts on the champion's samples, and of what a logistic regression on features makes of them."""
        from sklearn.linear_model import LogisticRegression

        labels = np.random.default_rng(2).choice(np.asarray(self.shards.train_labels), self.verdicts)
        images = sampler(labels, np.arange(10**6, 10**6 + self.verdicts, dtype=np.int64))
        verdicts = self.taste.accepts(images)
        net = kept_classifier(self.params.evaluate, self.shards, CACHE, lambda *told: None)
        shown = features(net, images)
        mean, scale = shown.mean(0), shown.std(0) + 1e-6
        model = LogisticRegression(C=0.1, max_iter=1000).fit((shown - mean) / scale, verdicts)

        def chances(split: Images) -> NDArray[np.float32]:
            found: NDArray[np.float32] = model.predict_proba((features(net, split) - mean) / scale)[:, 1]
            return found.astype(np.float32)

        made = Lessons(
            shards=self.shards.meta.id,
            classes=self.shards.meta.classes,
            preference="logistic regression",
            rejected=images[~verdicts],
            labels=labels[~verdicts],
            train_chances=chances(self.shards.train_images),
            holdout_chances=chances(self.shards.holdout_images),
            champion=read_start(self.out / "champion"),
        )
        real = self.taste.accepts(self.shards.holdout_images)
        told = made.holdout_chances[real].mean(), made.holdout_chances[~real].mean()
        print(f"{verdicts.mean():.1%} of {self.verdicts:,} accepted; chances of real images: "
              f"{told[0]:.2f} of those the taste accepts, {told[1]:.2f} of the others")  # fmt: skip
        write_lessons(self.out / "lessons", made)
        return read_lessons(self.out / "lessons")


def ways(plain: Train, negatives: float, steer: float) -> dict[str, Train]:
    def way(start: str = "scratch", **heard: float) -> Train:
        changes = {"start": start, "feedback": Listening(**heard), "tuning": Tuning(budget=1.0)}
        return plain.model_copy(update=changes)

    both = {"negatives": negatives, "steer": steer}
    return {
        "scratch": way(),
        "steer": way(steer=steer),
        "negatives": way(negatives=negatives),
        "both": way(**both),
        "champion-both": way("champion", **both),
    }


def report(results: list[Result], images: int) -> Table:
    table = Table(title=f"{images:,} images each, {SAMPLES:,} samples")
    for heading in Result.__dataclass_fields__:
        table.add_column(heading, justify="left" if heading == "name" else "right")
    for one in results:
        numbers = (f"{one.accepted:.1%}", f"{one.nfd:.2f}", f"{one.nfd_accepted:.2f}", f"{one.coverage:.3f}")
        table.add_row(one.name, *numbers, f"{one.seconds:.0f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample://digits", help="any source that genloop run takes")
    parser.add_argument("--images", type=int, default=48_000, help="of each training")
    parser.add_argument("--verdicts", type=int, default=1000)
    parser.add_argument("--negatives", type=float, default=0.25)
    parser.add_argument("--steer", type=float, default=1.0)
    parser.add_argument("--only", action="append", help="of the ways; all if left out")
    parser.add_argument("-S", dest="settings", action="append", default=[], metavar="SECTION.KEY=VALUE")
    chosen = parser.parse_args()
    pairs = [f"collect.source={json.dumps(chosen.source)}", f"train.images_seen={chosen.images}", *chosen.settings]
    params = params_of(pairs)
    shards = shards_of(params)
    out = BUILD / "lessons" / time.strftime("%Y%m%d-%H%M%S")
    out.mkdir(parents=True)
    taste = Taste(float(np.quantile(thickness(shards.train_images[:10_000]), 1 - ACCEPTED)))
    bench = Bench(params, shards, taste, chosen.verdicts, out)
    real = np.random.default_rng(0).permutation(shards.meta.train_items)[:SAMPLES]
    results = [bench.result("real", lambda labels, seeds: shards.train_images[np.sort(real)[: len(labels)]], 0.0)]

    sampler, seconds = bench.trained("champion", params.train, Lessons())
    results.append(bench.result("champion", sampler, seconds))
    lessons = bench.lessons(sampler)
    for name, settings in ways(params.train, chosen.negatives, chosen.steer).items():
        if not chosen.only or name in chosen.only:
            seed = settings.model_copy(update={"seed": settings.seed + 1})  # another draw than the champion's
            results.append(bench.result(name, *bench.trained(name, seed, lessons)))
            print(f"{name}: {results[-1].accepted:.1%} accepted", flush=True)
            write_json(out / "results.json", {"settings": pairs, "results": [asdict(one) for one in results]})
    Console(width=160).print(report(results, chosen.images))
    print(f"results and pictures: {out}")


if __name__ == "__main__":
    main()
