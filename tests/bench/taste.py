"""A simulated reviewer with a hidden taste, and whether what it accepts grows with what it said.

A real generator, filters and features; the reviewer judges by pixels, which no code under test sees, and answers
wrongly once in twenty. Batches of 200 items, all of them reviewed; from the second one on they are chosen by preference
from several times as many candidates, but for a control arm, and their mix by Thompson sampling. Nothing is trained
again.

python -m tests.bench.taste --source mnist.tar.xz --images-seen 100000
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from pipeline.evaluate.neighbours import neighbours
from pipeline.feedback_params import Adapting, Learning
from pipeline.preference.choice import taken
from pipeline.preference.estimate import Uplift, uplift
from pipeline.preference.evidence import Evidence
from pipeline.preference.learn import learn
from pipeline.preference.mix import beside_control, tallies_of, thompson
from pipeline.preference.scorecard import scorecard
from pipeline.reviews import Tally
from tests.bench.candidates import STEP, Ground, Pool, ground
from tests.bench.tastes import Taste, tastes

BATCHES, ITEMS, FLIPPED = 5, 200, 0.05
GOAL, COVERAGE_GOAL = 0.8, 0.9
DRAWS = 3  # of real training images, to compare with

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """By batch: accepted shares of all, of what was preferred, and of the control arm; what is truly liked of all."""

    taste: str
    seed: int
    whole: tuple[float, ...]
    preferred: tuple[float, ...]
    control: tuple[float, ...]
    liked: tuple[float, ...]
    gain: Uplift | None
    coverage: float
    coverage_plain: float
    covering: int
    auc: float
    seconds: float


def run(place: Ground, pool: Pool, taste: Taste, adapting: Adapting, learning: Learning) -> Run:
    random = np.random.Generator(np.random.Philox([pool.seed, 7]))
    start, classes = time.perf_counter(), len(place.bundle.classes)
    cursor, asked = np.zeros(classes, np.int64), np.full(classes, 1 / classes)
    kept: list[dict[str, NDArray]] = []
    evidence = None
    for number in range(BATCHES):
        seed, model = 1000 * pool.seed + number, None
        mix = asked
        if evidence is not None:
            model = learn(evidence, place.background, learning)
            if adapting.mix:
                told = [np.concatenate([one[name][one["control"]] for one in kept]) for name in ("label", "answer")]
                mix = thompson(asked, tallies_of(told[0], told[1], classes), adapting.starve, seed)
        weights, without = beside_control(asked, mix, adapting.holdout)
        parts = []
        for label, places in enumerate(counts(weights, ITEMS)):
            wanted = int(np.ceil(places * (adapting.candidates if model else 1.3)))
            some = pool.some(label, int(cursor[label]), wanted)
            cursor[label] += wanted
            if model:
                chances, _ = model.predict(some["seen"], some["label"])
                found = taken(
                    chances, some["seen"], some["seed"], int(places), adapting, seed * 100 + label, without[label]
                )
                rows, odds, control = found.rows, found.odds, found.control
            else:
                rows = np.arange(min(places, len(some["label"])))
                odds, control = np.full(len(rows), len(rows) / max(1, len(some["label"]))), np.ones(len(rows), bool)
            parts.append({name: values[rows] for name, values in some.items()} | {"odds": odds, "control": control})
        batch = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        likes = taste.likes(batch["image"], batch["label"])
        batch |= {"likes": likes, "answer": np.where(random.random(len(likes)) < FLIPPED, ~likes, likes) * 1.0}
        kept.append(batch)
        evidence = evidence_of(kept, place)
    return told_of(place, pool, taste, kept, evidence, learning, time.perf_counter() - start)


def evidence_of(kept: Sequence[dict[str, NDArray]], place: Ground) -> Evidence:
    whole = {name: np.concatenate([one[name] for one in kept]) for name in ("seen", "label", "answer")}
    count = len(whole["label"])
    return Evidence(
        features=whole["seen"],
        labels=whole["label"],
        rows=np.arange(count),
        successes=whole["answer"],
        weights=np.ones(count),
        channels=np.zeros(count, np.int64),
        segments=np.full(count, -1),
        classes=place.bundle.classes,
        blocks=place.blocks,
    )


def told_of(
    place: Ground,
    pool: Pool,
    taste: Taste,
    kept: Sequence[dict[str, NDArray]],
    evidence: Evidence | None,
    learning: Learning,
    seconds: float,
) -> Run:
    def share(one: dict[str, NDArray], arm: bool) -> float:
        of = one["control"] == arm
        return float(one["answer"][of].mean()) if of.any() else float("nan")

    later = {name: np.concatenate([one[name] for one in kept[1:]]) for name in kept[0]}
    arms = [
        Tally(judged=int(of.sum()), accepted=int(later["answer"][of].sum()))
        for of in (~later["control"], later["control"])
    ]
    accepted = later["feature"][later["likes"]]
    plain = plain_accepted(place, pool, taste, len(accepted))
    covered, without = coverage(place, taste, accepted, plain)
    assert evidence is not None
    card = scorecard(evidence, place.background, learning)
    return Run(
        taste=taste.name,
        seed=pool.seed,
        whole=tuple(float(one["answer"].mean()) for one in kept),
        preferred=tuple(share(one, False) for one in kept),
        control=tuple(share(one, True) for one in kept),
        liked=tuple(float(one["likes"].mean()) for one in kept),
        gain=uplift(arms[0], arms[1]),
        coverage=covered,
        coverage_plain=without,
        covering=len(accepted),
        auc=card.metrics.get("auc", float("nan")),
        seconds=seconds,
    )


def plain_accepted(place: Ground, pool: Pool, taste: Taste, count: int) -> NDArray[np.float32]:
    """Features of as many liked items, taken as they come from the generator: what it covers without preference."""
    parts = [pool.some(label, 0, STEP) for label in range(len(place.bundle.classes))]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in ("image", "label", "feature")}
    order = np.random.Generator(np.random.Philox(1)).permutation(len(whole["label"]))
    liked = order[taste.likes(whole["image"], whole["label"])[order]]
    return np.asarray(whole["feature"][liked[:count]])


def coverage(place: Ground, taste: Taste, *accepted: NDArray[np.float32]) -> list[float]:
    """Of real holdout images that are liked, how many have one of the accepted among them (Naeem et al. 2020), over
    the same of equally many liked training images."""
    images, labels, found = place.real
    real = found[taste.likes(images, labels)]
    images, labels, found = place.train
    training = found[taste.likes(images, labels)]
    random = np.random.Generator(np.random.Philox(2))

    def covered(some: NDArray[np.float32]) -> float:
        return float(neighbours(real, some).covered.mean())

    return [
        covered(some) / float(np.mean([covered(random.permutation(training)[: len(some)]) for _ in range(DRAWS)]))
        for some in accepted
    ]


def counts(mix: Floats, items: int) -> Integers:
    """By largest remainders."""
    exact = mix * items
    found = np.floor(exact).astype(np.int64)
    found[np.argsort(found - exact, kind="stable")[: items - found.sum()]] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--images-seen", type=int, default=100_000, help="how long the generator is trained")
    parser.add_argument("--taste", action="append", help="thick, slanted, mixed or crossed; all, if none is named")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="of feedback.adapting: name=value")
    chosen = parser.parse_args()
    adapting = Adapting.model_validate(dict(pair.split("=") for pair in chosen.set))
    place, runs = ground(chosen.source, chosen.images_seen), []
    for seed in range(chosen.seeds):
        pool = Pool(place.bundle, place.screen, seed)
        base = [pool.some(label, 0, STEP) for label in range(len(place.bundle.classes))]
        images, labels = (np.concatenate([one[name] for one in base]) for name in ("image", "label"))
        known = tastes(images, labels, len(place.bundle.classes))
        for name in chosen.taste or known:
            runs.append(run(place, pool, known[name], adapting, Learning()))
            print(json.dumps({"taste": name, "seed": seed, "whole": runs[-1].whole, "s": runs[-1].seconds}), flush=True)
    told(runs, adapting)


def told(runs: Sequence[Run], adapting: Adapting) -> None:
    table = Table("taste", "seed", "accepted by batch", "preferred", "liked", "uplift", "coverage", "without", "AUC")
    for one in runs:
        gain = one.gain
        table.add_row(
            one.taste,
            str(one.seed),
            " ".join(f"{share:.2f}"[1:] if share < 1 else "1.0" for share in one.whole),
            f"{one.preferred[-1]:.2f}",
            f"{one.liked[-1]:.2f}",
            f"{gain.difference:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})" if gain else "",
            f"{one.coverage:.2f} of {one.covering}",
            f"{one.coverage_plain:.2f}",
            f"{one.auc:.2f}",
        )
    Console(width=140).print(table)
    print(adapting.model_dump_json())
    for name in dict.fromkeys(one.taste for one in runs):
        of = [one for one in runs if one.taste == name]
        first, last, pure = (
            np.mean([one.whole[0] for one in of]),
            np.mean([one.whole[-1] for one in of]),
            np.mean([one.preferred[-1] for one in of]),
        )
        kept = np.mean([one.coverage for one in of])
        print(
            f"{name}: accepted {first:.0%} -> {last:.0%} ({pure:.0%} without the control arm; goal {GOAL:.0%}), "
            f"coverage kept {kept:.2f} (goal {COVERAGE_GOAL})"
        )


if __name__ == "__main__":
    main()
