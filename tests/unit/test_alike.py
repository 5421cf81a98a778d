"""Near-copies by sight are found as by comparing all with all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.alike import ALIKE, LEAST, SIDE, Looks


def greys(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth pictures of different contrast, a third of them slightly changed copies of others."""
    random = np.random.default_rng(seed)
    coarse = random.normal(0, 1, (count, 4, 4)).repeat(4, 1).repeat(4, 2) * random.uniform(0, 60, (count, 1, 1))
    copied = random.choice(count, count // 3, replace=False)
    coarse[copied] = coarse[random.choice(count, count // 3)] * random.uniform(0.9, 1.1, (count // 3, 1, 1))
    return np.rint(np.clip(128 + coarse, 0, 255)).astype(np.uint8)


def by_force(of: NDArray[np.uint8], among: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """bool [N, M]"""
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (of, among))
    distances = np.sqrt(((a[:, None] - b[None]) ** 2).mean(2))
    return distances <= np.maximum(ALIKE * a.std(1), LEAST)[:, None] + 1e-9


def test_the_nearest_near_copy() -> None:
    known, asked = greys(400), greys(500, seed=1)
    asked[:50] = known[:50]
    found, truth = Looks(known).alike(asked), by_force(asked, known)
    assert np.array_equal(found >= 0, truth.any(1))
    assert 50 <= (found >= 0).sum() < 500
    assert all(truth[row, place] for row, place in enumerate(found) if place >= 0)


def test_repeats_are_those_of_an_earlier_one_that_is_none() -> None:
    images = greys(600)
    truth, expected = by_force(images, images), np.zeros(600, bool)
    for row in range(600):
        expected[row] = (truth[row, :row] & ~expected[:row]).any()
    assert np.array_equal(Looks(images).repeats(), expected)
    assert 100 < expected.sum() < 500


def test_where_all_are_alike_one_is_left() -> None:
    blank = np.full((20_000, SIDE, SIDE), 7, np.uint8)
    assert Looks(blank).repeats().sum() == 19_999
    assert (Looks(blank).alike(blank[:10]) >= 0).all()


def test_none_and_one() -> None:
    none, one = np.zeros((0, SIDE, SIDE), np.uint8), np.full((1, SIDE, SIDE), 9, np.uint8)
    assert Looks(none).alike(one).tolist() == [-1]
    assert Looks(one).alike(none).tolist() == []
    assert Looks(one).alike(one).tolist() == [0]
    assert Looks(one).repeats().tolist() == [False]
    assert Looks(one).distances(one).tolist() == [0]
