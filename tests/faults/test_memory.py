"""A memory that is too small for a step: fewer images at a time, the same training; where nothing helps a clear stop.

Torch's own error is raised by a hook, in the middle of a step: a processor's memory that is limited for real ends the
process in oneDNN, which does not look whether it was given any.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import pipeline.training.step as step
from pipeline.errors import GenloopError
from pipeline.model.networks import Generator, Shape
from pipeline.settings import Train
from pipeline.training.data import BatchSource
from pipeline.training.history import Tick
from pipeline.training.listening import Rejected
from pipeline.training.memory import fewer
from pipeline.training.ranks import Ranks
from pipeline.training.state import new_state
from pipeline.training.step import train
from pipeline.training.update import Rules, update
from tests.unit.small_shards import small_shards

TOLERANCE = 2e-3  # of a loss, after 4 steps of sums in another order
GRADIENTS = 1e-4  # of the length of a gradient
BATCH = 128


@contextmanager
def memory_of(most: int, sound_steps: int = 0) -> Iterator[None]:
    """In which a convolution of more than so many images is out of memory, once so many steps were made.

    Only where all is kept for gradients: without them the images of a whole batch take less than that.
    """
    begun = 0

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal begun
        begun += isinstance(module, Generator) and torch.is_grad_enabled()
        large = torch.is_grad_enabled() and isinstance(module, nn.Conv2d) and len(inputs[0]) > most
        if large and begun > sound_steps:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    hook = nn.modules.module.register_module_forward_pre_hook(look)
    try:
        yield
    finally:
        hook.remove()


def trained(root: Path) -> dict[int, list[float]]:
    """The losses by images seen."""
    settings = Train(images_seen=BATCH * 12, batch=BATCH, width=8, lr=0.0005, precision="fp32", snapshots=1)
    shards = small_shards(root / "shards", items=300)
    curve = {}

    def watch(tick: Tick, preview: object) -> None:
        curve[tick.images_seen] = [tick.loss_g, tick.loss_d]

    train(settings, shards, root / "runs", root / "bundle", root / "c.csv", watch, held_out=np.arange(100))
    return curve


@pytest.mark.parametrize("sound_steps", [0, 5])
def test_fewer_images_at_a_time_make_the_same_training(
    tmp_path: Path, sound_steps: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the beginning, or at a step in the middle, which is made again from the last checkpoint."""
    monkeypatch.setattr(step, "TICK_S", 0.0)
    whole = trained(tmp_path / "whole")
    with memory_of(2 * 32, sound_steps):  # of real and generated images together
        limited = trained(tmp_path / "limited")
        seen = BATCH * sound_steps
        told = [f"out of memory: from {seen:,} images on, {count} at a time make a step" for count in (64, 32)]
        assert capsys.readouterr().out.splitlines() == told
    assert list(whole) == list(limited) == [BATCH * (index + 1) for index in range(12)]
    for images, losses in whole.items():
        assert limited[images] == pytest.approx(losses, rel=TOLERANCE, abs=TOLERANCE)
    (plan,) = (tmp_path / "limited").glob("runs/*/plan.json")
    assert json.loads(plan.read_text())["at_once"] == 32  # a run that goes on need not find it out again


def test_it_is_found_out_while_the_speed_is_measured(tmp_path: Path) -> None:
    settings = Train(minutes=0.02, batch=64, width=8, precision="fp32", snapshots=1)
    shards = small_shards(tmp_path / "shards")
    with memory_of(2 * 32):
        train(settings, shards, tmp_path / "runs", tmp_path / "bundle", tmp_path / "c.csv", lambda tick, preview: None)
    (plan,) = tmp_path.glob("runs/*/plan.json")
    assert json.loads(plan.read_text())["at_once"] == 32


@pytest.mark.parametrize("rows", [64, 100, 128])
def test_their_gradients_add_up(rows: int) -> None:
    """With a rate of 0, so that both networks are the same when the generator's turn comes. A batch norm's groups, the
    penalty, augmentation and rejected items among the generated ones are in it."""
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (300, 1, 16, 16), np.uint8), np.arange(300, dtype=np.int64) % 3
    settings, device = Train(width=8, batch=rows, gamma=0.1), torch.device("cpu")
    counts = np.full(3, 30)
    rejected = Rejected(images[:90], np.cumsum(counts) - counts, counts, 0.3, 0)
    found = []
    for at_once in (0, 32):
        state, source = new_state(settings, Shape(16, 1, 3, 64, 8), device), BatchSource(images, labels, rows, 0)
        state.overfitting.p = 0.5
        whole = Rules(settings, Ranks(), device, 10**6, 0.0, 4.0, False, source, rejected, at_once=at_once)
        losses = update(state, whole, source)
        weights = [*state.generator.parameters(), *state.discriminator.parameters()]
        found.append((losses, torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None])))
    (losses, gradient), (summed, sum_of_gradients) = found
    assert torch.allclose(losses, summed, rtol=1e-5)
    assert (gradient - sum_of_gradients).norm() < GRADIENTS * gradient.norm()


def test_where_not_even_one_group_has_room_it_is_a_line_that_says_what_to_lower(tmp_path: Path) -> None:
    with memory_of(1), pytest.raises(GenloopError) as told:
        trained(tmp_path)
    assert str(told.value).startswith("train.batch: the memory does not hold a step of 32 images")
    assert "lower train.batch below 32" in str(told.value)


def test_another_error_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(step, "update", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        trained(tmp_path)


def test_it_is_halved_in_whole_groups() -> None:
    assert [fewer(0, 256), fewer(128, 256), fewer(64, 256)] == [128, 64, 32]
    assert [fewer(0, 65), fewer(0, 64), fewer(0, 40), fewer(0, 100)] == [64, 32, 32, 64]
    with pytest.raises(GenloopError, match="a step of 32 images"):
        fewer(32, 256)
