"""Augmentation by hand: what it leaves, what it moves, and when it grows."""

from __future__ import annotations

import pytest
import torch

from pipeline.training.augment import DRAWS, MOST, Overfitting, augment


def _images(channels: int = 1) -> torch.Tensor:
    return torch.rand(64, channels, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def _draws(seed: int = 1) -> torch.Tensor:
    return torch.rand(64, DRAWS, generator=torch.Generator().manual_seed(seed))


def test_at_strength_0_nothing_changes_and_at_1_everything() -> None:
    images = _images()
    assert torch.allclose(augment(images, 0.0, _draws()), images, atol=1e-5)
    changed = (augment(images, 1.0, _draws()) - images).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert changed.all()


def test_each_image_is_changed_with_probability_p() -> None:
    images, p = _images(), 0.1
    changed = (augment(images, p, _draws()) - images).abs().amax(dim=(1, 2, 3)) > 1e-3
    assert changed.float().mean().item() == pytest.approx(1 - (1 - p) ** 5, abs=0.12)


def test_a_shift_moves_the_picture() -> None:
    images = torch.full((1, 1, 16, 16), -1.0)
    images[0, 0, 8, 8] = 1.0
    draws = torch.tensor(
        [[0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5]]
    )  # by an eighth of the width: 2 pixels
    moved = augment(images, 0.5, draws)
    assert moved[0, 0].argmax().item() in (8 * 16 + 6, 8 * 16 + 10)


def test_the_generator_learns_through_it_and_alpha_keeps_its_values() -> None:
    images = _images(4).requires_grad_()
    augment(images, 1.0, _draws()).square().sum().backward()
    assert images.grad is not None and (images.grad.abs().amax(dim=(1, 2, 3)) > 0).all()
    flat = torch.zeros(64, 4, 16, 16)
    flat[:, 3] = 0.25
    assert torch.allclose(augment(flat, 1.0, _draws())[:, 3], torch.tensor(0.25), atol=1e-5)


def test_the_strength_follows_the_signal() -> None:
    overfitting = Overfitting(0.0, 0.0, torch.zeros(3, dtype=torch.float64))
    overfitting.see(torch.tensor([2.0, 4.0]), torch.tensor([0.0]), torch.tensor([-1.0]))
    overfitting.adjust(target=0.5, step=0.1)
    assert (overfitting.r, overfitting.p) == (pytest.approx(3 / 4), pytest.approx(0.1))
    overfitting.see(torch.tensor([3.0]), torch.tensor([2.9]), torch.tensor([-1.0]))
    overfitting.adjust(target=0.5, step=0.3)
    assert (overfitting.r, overfitting.p) == (pytest.approx(0.1 / 4), 0.0)
    for _ in range(20):
        overfitting.see(torch.tensor([3.0]), torch.tensor([-1.0]), torch.tensor([-1.0]))
        overfitting.adjust(target=0.5, step=0.3)
    assert overfitting.p == MOST
