"""The classifier: reproducible, kept without pickle, refused when damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import GenloopError
from pipeline.evaluate.features import (
    features,
    load_classifier,
    save_classifier,
    told,
    train_classifier,
)

LABELS = np.arange(64) % 2
IMAGES = np.random.default_rng(0).integers(0, 60, (64, 1, 16, 16)).astype(np.uint8)
IMAGES[LABELS == 1, :, :8] += 150


def test_same_seed_same_weights_and_learns() -> None:
    before = torch.random.get_rng_state()
    one, two = (train_classifier(IMAGES, LABELS, 2, 12, seed=3) for _ in range(2))
    other = train_classifier(IMAGES, LABELS, 2, 12, seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.hidden.weight, other.hidden.weight)
    assert told(one, features(one, IMAGES)).tolist() == LABELS.tolist()


def test_one_class_learns_rotations() -> None:
    net = train_classifier(IMAGES, np.zeros(64, np.int64), 1, 2, seed=0)
    assert net.classes == 4


@pytest.mark.parametrize(("channels", "size"), [(1, 16), (3, 33), (4, 256)])
def test_any_size_and_channels(channels: int, size: int) -> None:
    images = np.zeros((2, channels, size, size), np.uint8)
    assert features(train_classifier(images, np.arange(2), 2, 0, seed=0), images).shape == (2, 128)


def test_round_trip_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "classifier.safetensors"
    net = train_classifier(IMAGES, LABELS, 2, 1, seed=0)
    save_classifier(net, path)
    assert np.allclose(features(load_classifier(path), IMAGES), features(net, IMAGES))
    whole = path.read_bytes()
    for damaged in (whole[:1000], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(GenloopError, match=r"classifier.safetensors.*damaged.*delete it"):
            load_classifier(path)
