"""Resume equals an uninterrupted run; noise does not depend on neighbours; losses by hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.model.bundle import BundleError, load_bundle, save_bundle
from pipeline.model.losses import gradient_penalty, non_saturating_d, relativistic_d
from pipeline.model.networks import Generator, Shape, base_size
from pipeline.model.noise import item_seeds, latents, philox

RUN = """
import sys, numpy as np
from pathlib import Path
import pipeline.training.step as step
from pipeline.settings import Train
from pipeline.shards import ShardsReader
from pipeline.values import Shards
step.TICK_S = 0.2
images = np.random.default_rng(0).integers(0, 256, (200, 1, 16, 16), np.uint8)
labels = np.arange(200, dtype=np.int64) % 3
meta = Shards(id="x", snapshot="s", size=16, channels=1, classes=("a", "b", "c"), train_items=200, holdout_items=200)
reader = ShardsReader(meta, images, labels, images, labels)
root = Path(sys.argv[1])
settings = Train(images_seen=9600, width=8, precision="fp32", augment_target=0.01)
ways = root / "runs", root / "bundle", root / "c.csv"
print(step.train(settings, reader, *ways, lambda t, p: None, held_out=np.arange(100)).bundle)
"""


def _train(folder: Path, kill: bool = False) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder)], env=environment, stdout=subprocess.PIPE, text=True
    )
    if kill:
        while not list(folder.glob("runs/*/0-*.json")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    return process.communicate(timeout=200)[0]


def test_killed_and_run_again_gives_the_same_weights(tmp_path: Path) -> None:
    whole = _train(tmp_path / "a").splitlines()[-1]
    _train(tmp_path / "b", kill=True)
    assert not (tmp_path / "b/bundle").exists()
    resumed = _train(tmp_path / "b").splitlines()
    assert resumed[0].startswith("going on from")
    assert resumed[-1] == whole


def test_philox_known_answer() -> None:
    """Counter and key of zeros: the first vector of Salmon et al.'s own known-answer file."""
    words = philox(np.zeros(1, np.uint64), np.zeros(1, np.uint64))
    assert [int(word[0]) for word in words] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_noise_is_normal_and_depends_on_its_seed_only() -> None:
    seeds = item_seeds(3, np.arange(5000, dtype=np.int64))
    z = latents(seeds, 64)
    assert abs(z.mean()) < 0.01 and abs(z.std() - 1) < 0.01
    assert (latents(seeds[40:41], 64) == z[40]).all()
    assert len(set(seeds.tolist())) == 5000


def test_losses_by_hand() -> None:
    real, fake = torch.tensor([1.0]), torch.tensor([0.0])
    assert relativistic_d(real, fake).item() == pytest.approx(np.log(1 + np.exp(-1)))
    assert non_saturating_d(real, fake).item() == pytest.approx(np.log(1 + np.exp(-1)) + np.log(2))


def test_the_penalty_of_a_linear_score_is_its_squared_slope() -> None:
    images = torch.ones(2, 1, 2, 2, requires_grad=True)
    assert gradient_penalty((3 * images).sum(dim=(1, 2, 3)), images).item() == pytest.approx(4 * 9)


def test_an_altered_bundle_is_refused(tmp_path: Path) -> None:
    save_bundle(tmp_path, Generator(Shape(16, 1, 3, 8, 8)), ("a", "b", "c"))
    one = load_bundle(tmp_path).sample(np.array([1], np.int64), np.array([7], np.int64))
    many = load_bundle(tmp_path).sample(np.array([0, 1, 2] * 40, np.int64), np.arange(-6, 114).clip(0).astype(np.int64))
    assert (many[13] == one[0]).all()
    data = bytearray((tmp_path / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(data)
    with pytest.raises(BundleError, match="hash"):
        load_bundle(tmp_path)


def test_sizes() -> None:
    assert [base_size(size) for size in (16, 28, 32, 64, 256)] == [(4, 2), (7, 2), (8, 2), (8, 3), (8, 5)]
    with pytest.raises(ValueError, match="size 100"):
        base_size(100)
