"""Metrics against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluate import metrics

LINE = np.array([[0.0], [1.0], [2.0], [3.0]])


def test_frechet_distance_of_shifted_set_is_the_shift_squared() -> None:
    real = np.random.default_rng(0).standard_normal((500, 4))
    assert metrics.frechet_distance(real, real) == pytest.approx(0, abs=1e-6)
    assert metrics.frechet_distance(real, real + np.array([3, 0, 4, 0])) == pytest.approx(25)


def test_frechet_distance_of_scaled_set_is_the_variance() -> None:
    # (sd - 2 sd)^2 = variance, which is 1 for -1, 0, 1; the mean is 0 both times.
    real = np.array([[-1.0], [0.0], [1.0]])
    assert metrics.frechet_distance(real, 2 * real) == pytest.approx(1)
    assert metrics.normalised_frechet_distance(10 * real, 20 * real) == pytest.approx(100)


def test_kernel_distance_by_hand() -> None:
    # k(0,0) = 1, k(1,1) = 8, k(0,1) = 1: 1 + 8 - 2 * 1.
    assert metrics.kernel_distance(np.zeros((2, 1)), np.ones((2, 1))) == pytest.approx(7)


def test_precision_and_recall_by_hand() -> None:
    # k = 1: real balls reach 1 each and cover [-1, 4]; fake balls reach 1, 1 and 6.
    fake = np.array([[2.5], [3.5], [9.5]])
    precision, recall = metrics.precision_recall(LINE, fake, k=1)
    assert precision == pytest.approx(2 / 3)
    assert recall == pytest.approx(2 / 4)  # the balls [1.5, 3.5], [2.5, 4.5], [3.5, 15.5] hold 2 and 3


def test_density_and_coverage_by_hand() -> None:
    # k = 1: 0.5 lies in the balls of 0 and 1; 10 in none. Two of four balls hold a fake.
    density, coverage = metrics.density_coverage(LINE, np.array([[0.5], [10.0]]), k=1)
    assert density == pytest.approx(1)
    assert coverage == pytest.approx(0.5)


def test_nearest_passes_over_its_own_row() -> None:
    distance, row = metrics.nearest(LINE, np.array([[0.0], [1.1], [2.3], [3.6]]), np.arange(4))
    assert row.tolist() == [1, 0, 1, 2]
    assert distance == pytest.approx([1.1, 1.0, 0.9, 0.7])


def test_memorised_finds_planted_copies() -> None:
    random = np.random.default_rng(1)
    train, holdout, samples = (random.standard_normal((1000, 16)) for _ in range(3))
    assert metrics.memorised(samples, train, holdout) < 0.04
    samples[:300] = train[:300]
    assert metrics.memorised(samples, train, holdout) == pytest.approx(0.3, abs=0.04)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    real, fake = random.standard_normal((70, 8)), random.standard_normal((50, 8))
    whole = (*metrics.precision_recall(real, fake), *metrics.density_coverage(real, fake))
    monkeypatch.setattr(metrics, "BLOCK_ELEMENTS", 300)
    assert (*metrics.precision_recall(real, fake), *metrics.density_coverage(real, fake)) == whole
