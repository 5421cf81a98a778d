"""Metrics against numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluate import metrics
from pipeline.evaluate.comparison import table_of_classes
from pipeline.evaluate.intervals import jackknife, of_mean, wilson
from pipeline.evaluate.memorisation import Nearest, authenticity, copying_score, memorised, nearest_training
from pipeline.evaluate.neighbours import Neighbours, neighbours

LINE = np.array([[0.0], [1.0], [2.0], [3.0]])


def test_frechet_distance_of_shifted_set_is_the_shift_squared() -> None:
    real = np.random.default_rng(0).standard_normal((500, 4))
    assert metrics.frechet_distance(real, real) == pytest.approx(0, abs=1e-6)
    assert metrics.frechet_distance(real, real + np.array([3, 0, 4, 0])) == pytest.approx(25)


def test_frechet_distance_of_scaled_set_is_the_variance() -> None:
    # (sd - 2 sd)^2 = variance, which is 1 for -1, 0, 1; the mean is 0 both times.
    real = np.array([[-1.0], [0.0], [1.0]])
    assert metrics.frechet_distance(real, 2 * real) == pytest.approx(1)
    assert metrics.spread(metrics.gaussian(10 * real)) == pytest.approx(100)


def test_a_gaussian_by_hand() -> None:
    found = metrics.gaussian(np.array([[0.0], [3.0], [3.0]]))
    assert (found.mean, found.covariance) == (pytest.approx(2), pytest.approx(3))


def test_the_infinite_distance_takes_the_bias_off() -> None:
    random = np.random.default_rng(3)
    real, fake = random.standard_normal((4000, 32)), random.standard_normal((4000, 32))
    finite = metrics.frechet_distance(real, fake)
    infinite = metrics.frechet_distance_infinity(real, fake, random)
    assert finite > 0.05
    assert abs(infinite) < 0.01


def test_kernel_distance_by_hand() -> None:
    # Features are divided by the root mean square of the first set, 1: k(1,1) = 8, k(2,2) = 125, k(1,2) = 27.
    assert metrics.kernel_distance(np.ones((2, 1)), 2 * np.ones((2, 1)))[0] == pytest.approx(8 + 125 - 2 * 27)


def test_kernel_distance_knows_no_scale_and_how_sure_it_is() -> None:
    random = np.random.default_rng(4)
    spread = []
    for _ in range(30):
        real, fake = random.standard_normal((200, 8)), random.standard_normal((200, 8))
        spread.append(metrics.kernel_distance(real, fake))
        assert metrics.kernel_distance(7 * real, 7 * fake)[0] == pytest.approx(spread[-1][0], abs=1e-4)
    values = np.array([value for value, _ in spread])
    halves = np.array([interval[1] - value for value, interval in spread if interval])
    assert abs(values.mean()) < 3 * values.std() / 30**0.5
    assert 0.5 < halves.mean() / 1.96 / values.std() < 2


def test_precision_and_recall_by_hand() -> None:
    # k = 1: real balls reach 1 each and cover [-1, 4]; fake balls reach 1, 1 and 6.
    found = neighbours(LINE, np.array([[2.5], [3.5], [9.5]]), k=1)
    assert found.precise.tolist() == [True, True, False]
    assert found.recalled.tolist() == [False, False, True, True]  # the balls are [1.5, 3.5], [2.5, 4.5], [3.5, 15.5]


def test_density_and_coverage_by_hand() -> None:
    # k = 1: 0.5 lies in the balls of 0 and 1; 10 in none. Two of four balls hold a fake.
    found = neighbours(LINE, np.array([[0.5], [10.0]]), coverage_k=1)
    assert found.density.tolist() == [2, 0]
    assert found.covered.tolist() == [True, True, False, False]


def test_as_an_independent_implementation_has_them() -> None:
    """prdc, by the authors of density and coverage."""
    prdc = pytest.importorskip("prdc")
    random = np.random.default_rng(5)
    real, fake = random.standard_normal((300, 6)), 1.1 * random.standard_normal((250, 6)) + 0.2
    theirs = prdc.compute_prdc(real_features=real, fake_features=fake, nearest_k=5)
    ours = neighbours(real, fake, k=5, coverage_k=5)
    assert ours.precise.mean() == pytest.approx(theirs["precision"], abs=0.005)
    assert ours.recalled.mean() == pytest.approx(theirs["recall"], abs=0.005)
    assert ours.density.mean() == pytest.approx(theirs["density"], abs=0.005)
    assert ours.covered.mean() == pytest.approx(theirs["coverage"], abs=0.005)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    real, fake = random.standard_normal((70, 8)), random.standard_normal((50, 8))
    whole = neighbours(real, fake)
    monkeypatch.setattr(metrics, "BLOCK_ELEMENTS", 300)
    for name, values in vars(neighbours(real, fake)).items():
        assert np.array_equal(values, getattr(whole, name)), name


def test_nearest_passes_over_its_own_row() -> None:
    distance, row = metrics.nearest(LINE, np.array([[0.0], [1.1], [2.3], [3.6]]), np.arange(4))
    assert row.tolist() == [1, 0, 1, 2]
    assert distance == pytest.approx([1.1, 1.0, 0.9, 0.7])


def planted(copies: int, noise: float = 0.0) -> tuple[float, float, float]:
    """(memorised, copying, authenticity) of 1,000 samples, some of them copies of training images."""
    random = np.random.default_rng(1)
    train, holdout, samples = (random.standard_normal((1000, 16)) for _ in range(3))
    samples[:copies] = train[:copies] + noise * random.standard_normal((copies, 16))
    near, held, cells = nearest_training(samples, train), nearest_training(holdout, train), np.arange(1000) % 2
    return float(memorised(near, held).mean()), copying_score(near, held, cells), authenticity(near, train)


def test_planted_copies_are_found() -> None:
    share, score, authentic = planted(0)
    assert share < 0.04 and abs(score) < 3 and authentic > 0.4
    for noise in (0.0, 0.05):  # near-copies too
        copied_share, copied_score, copied_authentic = planted(300, noise)
        assert copied_share == pytest.approx(0.3, abs=0.04)
        assert copied_score < -5
        assert copied_authentic < authentic - 0.1


def test_the_copying_score_by_hand() -> None:
    # One cell, no ties, every sample nearer than every held-out item: U = 0, z = -(nm/2) / sqrt(nm (n + m + 1) / 12).
    rows = np.zeros(10, np.int64)
    near, held = Nearest(np.arange(10, dtype=np.float32), rows), Nearest(np.arange(10, 20, dtype=np.float32), rows)
    assert copying_score(near, held, np.zeros(1, np.int64)) == pytest.approx(-50 / (100 * 21 / 12) ** 0.5)
    assert copying_score(held, near, np.zeros(1, np.int64)) == pytest.approx(50 / (100 * 21 / 12) ** 0.5)


def test_intervals_hold_what_they_say() -> None:
    low, high = wilson(np.array([True] * 8 + [False] * 2))
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))  # Wilson, by hand
    assert wilson(np.zeros(50, bool))[0] == 0
    assert of_mean(np.array([0.0, 2.0])) == pytest.approx((1 - 1.959964, 1 + 1.959964))  # sd sqrt(2), over sqrt(2)
    random, held = np.random.default_rng(6), 0
    for _ in range(100):
        x, y = random.standard_normal(200), random.standard_normal(200)
        interval = jackknife(lambda a, b, x=x, y=y: x[a].var() - y[b].mean(), (200, 200), x.var() - y.mean())
        assert interval is not None
        held += interval[0] <= 1 <= interval[1]
    assert 85 <= held < 100
    assert jackknife(lambda a, b: 0.0, (19, 200), 0.0) is None


def test_the_worst_covered_class_comes_first() -> None:
    found = Neighbours(
        precise=np.array([True, False, True, True]),
        recalled=np.array([True, True, False, False]),
        density=np.zeros(4),
        covered=np.array([True, True, True, False]),
    )
    labels = np.array([0, 0, 1, 1])
    table = table_of_classes(("a", "b"), labels, labels, found, np.array([True, True, True, False]))
    assert list(table) == ["b", "a"]
    assert table["b"] == {"items": 2, "coverage": 0.5, "recall": 0.0, "precision": 1.0, "label_accuracy": 0.5}
