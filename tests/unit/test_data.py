"""The order of the training images: every one once, or classes alike, and nothing but seed and place decides it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.training.data import BatchSource, quotas, spread


def _source(balance: float, seed: int = 0, weights: NDArray[np.float64] | None = None) -> BatchSource:
    labels = np.repeat(np.arange(3, dtype=np.int64), [80, 16, 4])
    images = np.arange(100, dtype=np.uint8)[:, None, None, None].repeat(2, 2).repeat(2, 3)
    return BatchSource(images, labels, 10, seed, balance, weights)


def _epoch(source: BatchSource, number: int = 0) -> list[int]:
    return [int(row) for place in range(10) for row in source.at(100 * number + 10 * place)[0][:, 0, 0, 0]]


def test_an_epoch_serves_every_image_once_in_an_order_of_its_own() -> None:
    source = _source(0.0)
    first, second = _epoch(source), _epoch(source, 1)
    assert sorted(first) == sorted(second) == list(range(100)) and first != second
    assert _epoch(_source(0.0)) == first != _epoch(_source(0.0, seed=1))


def test_processes_share_a_batch() -> None:
    source = _source(0.5)
    whole = source.at(30)[1].tolist()
    assert source.at(30, slice(0, 4))[1].tolist() + source.at(30, slice(4, 10))[1].tolist() == whole


@pytest.mark.parametrize(("balance", "counts"), [(0.0, [80, 16, 4]), (0.5, [60, 27, 13]), (1.0, [34, 33, 33])])
def test_balance(balance: float, counts: list[int]) -> None:
    assert quotas(np.array([80, 16, 4]), balance).tolist() == counts
    served = [int(label) for place in range(10) for label in _source(balance).at(10 * place)[1]]
    assert np.bincount(served).tolist() == counts


def test_a_class_that_is_served_often_shows_its_images_alike_often() -> None:
    rare = [row for row in _epoch(_source(1.0)) if row >= 96]
    assert np.bincount(rare)[96:].tolist() in ([9, 8, 8, 8], [8, 9, 8, 8], [8, 8, 9, 8], [8, 8, 8, 9])


WEIGHTS = np.concatenate([np.full(40, 1.0), np.full(40, 0.25), np.full(16, 0.5), np.full(4, 0.05)])


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_weights_move_the_classes_and_the_images_in_them(balance: float) -> None:
    """By hand: a class of n images has a share in proportion to n ** (1 - balance) times its mean weight."""
    share = np.array([80.0, 16, 4]) ** (1 - balance) * [0.625, 0.5, 0.05]
    ideal = 100 * share / share.sum()
    source, epochs = _source(balance, weights=WEIGHTS), 200
    counts = np.array([np.bincount(_epoch(source, number), minlength=100) for number in range(epochs)])
    assert (counts.sum(1) == 100).all()
    by_class = np.stack([counts[:, :80].sum(1), counts[:, 80:96].sum(1), counts[:, 96:].sum(1)], 1)
    assert (np.abs(by_class - ideal) < 1).all()  # in every epoch
    often = counts.mean(0)
    assert often[:40].mean() / often[40:80].mean() == pytest.approx(4, rel=0.03)
    assert (often > 0).all()  # no image is left out for good
    assert _epoch(_source(balance, weights=WEIGHTS), 7) == _epoch(source, 7) != _epoch(source, 8)


def test_weights_that_are_alike_change_no_share() -> None:
    counts = np.bincount([row for n in range(50) for row in _epoch(_source(0.5, weights=np.full(100, 0.3)), n)])
    assert [counts[:80].sum() / 50, counts[80:96].sum() / 50] == pytest.approx([60.5, 26.9], abs=1)


def test_spread_is_the_trace_of_the_covariance() -> None:
    images = np.random.default_rng(0).integers(0, 256, (700, 3, 4, 4), np.uint8)
    pixels = images.reshape(700, -1) / 127.5 - 1
    assert spread(images) == pytest.approx(np.trace(np.cov(pixels, rowvar=False, bias=True)))
