"""A scorecard: reproducible, blind to what snapshots are chosen on, and what samples add to real images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.choice import held_out_rows, judge_of
from pipeline.evaluate.space import Sampler, halves
from pipeline.evaluate.step import score
from pipeline.settings import Evaluate
from pipeline.shards import ShardsReader
from tests.unit.small_shards import small_shards

SETTINGS = Evaluate(classifier_steps=20, tstr_images=200)


def _silent(stage: str, done: int, total: int) -> None:
    return


def _copies(shards: ShardsReader, shift: int = 0) -> Sampler:
    """Training images of the class that is asked for, a little brighter by `shift`."""

    def sample(labels: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.uint8]:
        members = [np.flatnonzero(shards.train_labels == label) for label in range(3)]
        rows = [members[label][seed % len(members[label])] for label, seed in zip(labels, seeds, strict=True)]
        return np.asarray(shards.train_images[rows] + np.uint8(shift), np.uint8)

    return sample


def test_the_same_scorecard_again_even_where_nothing_is_kept(tmp_path: Path) -> None:
    shards = small_shards(tmp_path / "shards")
    once, again, anew = (
        score(SETTINGS, shards, _copies(shards), "m", tmp_path / cache).scorecard for cache in ("a", "a", "b")
    )
    assert once == again == anew


def test_what_snapshots_are_chosen_on_is_not_reported_on(tmp_path: Path) -> None:
    shards = small_shards(tmp_path / "shards")
    chosen, reported = halves(200, SETTINGS)
    assert sorted([*chosen, *reported]) == list(range(200)) and len(chosen) == 100
    assert held_out_rows(200, SETTINGS).tolist() == sorted(chosen)  # type: ignore[union-attr]
    assert held_out_rows(100, SETTINGS) is None

    before = score(SETTINGS, shards, _copies(shards), "m", tmp_path / "a").scorecard
    assert before.samples == 100
    for rows, same in ((chosen, True), (reported, False)):
        images = np.array(shards.holdout_images)
        images[rows] = 255 - images[rows]
        changed = replace(shards, holdout_images=images)
        after = score(SETTINGS, changed, _copies(shards), "m", tmp_path / f"b{same}").scorecard
        assert (after == before) is same


def test_the_judge_prefers_what_is_nearer_to_the_data(tmp_path: Path) -> None:
    shards = small_shards(tmp_path / "shards")
    rows, _ = halves(200, SETTINGS)
    judge = judge_of(SETTINGS, shards, np.sort(rows), tmp_path / "cache", _silent)
    near, far = judge(_copies(shards)), judge(_copies(shards, 40))
    assert near < far / 5 and judge(_copies(shards)) == near


def test_what_samples_add_to_real_images(tmp_path: Path) -> None:
    """Good samples add what an under-trained classifier lacks; noise with random labels takes away."""
    shards = small_shards(tmp_path / "shards")
    settings = SETTINGS.model_copy(update={"gain": True, "tstr_images": 2000})

    def noise(labels: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.asarray(shards.train_images[seeds % 200], np.uint8)

    good, bad = (score(settings, shards, sampler, "m", tmp_path / "cache") for sampler in (_copies(shards), noise))
    assert bad.scorecard.metrics["gain"] < good.scorecard.metrics["gain"]
    low, high = good.scorecard.intervals["gain"]
    assert low <= good.scorecard.metrics["gain"] <= high
    plain = score(SETTINGS, shards, _copies(shards), "m", tmp_path / "cache").scorecard
    assert "gain" not in plain.metrics
