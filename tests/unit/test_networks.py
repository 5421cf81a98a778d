"""The networks at every size and kind of image; batch norm by groups; the penalty reaches the discriminator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.model.losses import gradient_penalty
from pipeline.model.networks import Discriminator, GroupedBatchNorm, Shape
from pipeline.settings import SIZES, Train
from pipeline.training.step import train
from tests.unit.small_shards import small_shards


@pytest.mark.parametrize(
    ("size", "channels", "classes"),
    [*((size, 1, 2) for size in SIZES), (16, 3, 2), (16, 4, 2), (24, 1, 1), (16, 3, 8), (16, 1, 300)],
)
def test_trains(tmp_path: Path, size: int, channels: int, classes: int) -> None:
    settings = Train(images_seen=8, batch=4, width=4, z_dim=8, precision="fp32", snapshots=1)
    shards = small_shards(tmp_path / "shards", size, channels, classes, items=8)
    done = train(settings, shards, tmp_path / "runs", tmp_path / "bundle", tmp_path / "c.csv", lambda tick, _: None)
    assert done.progress[-1].shape == (20, channels, size, size)
    assert done.progress[-1].std() > 1


def test_groups_do_not_depend_on_how_a_batch_is_shared() -> None:
    x = torch.randn(96, 4, 3, 3, generator=torch.Generator().manual_seed(0)) * 3 + 1
    whole, parts = GroupedBatchNorm(4), [GroupedBatchNorm(4) for _ in range(3)]
    shared = torch.cat([norm(part) for norm, part in zip(parts, x.split(32), strict=True)])
    assert torch.allclose(whole(x), shared, atol=1e-6)
    means, variances = (
        torch.stack([getattr(norm, name) for norm in parts]).mean(0) for name in ("running_mean", "running_var")
    )
    assert torch.allclose(whole.running_mean, means) and torch.allclose(whole.running_var, variances)
    plain = torch.nn.BatchNorm2d(4)
    assert torch.allclose(GroupedBatchNorm(4)(x[:32]), plain(x[:32]), atol=1e-5)


def _penalty(net: Discriminator, real: torch.Tensor, bf16: bool = False) -> torch.Tensor:
    images = real.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return gradient_penalty(net(images, torch.tensor([0, 1, 2, 0])), images)


@pytest.mark.parametrize("classes", [3, 300])
def test_the_penalty_reaches_every_layer_of_the_discriminator(classes: int) -> None:
    """Its gradient for the weights beside finite differences of the penalty; steps so small that no unit flips."""
    torch.manual_seed(0)
    net = Discriminator(Shape(16, 1, classes, 8, 8)).double()
    real = torch.randn(4, 1, 16, 16, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    torch.autograd.backward(_penalty(net, real))
    for name, weight in net.named_parameters():
        if name.endswith("bias"):
            continue  # scores shift by it; the slope hardly does
        assert weight.grad is not None
        norm = weight.grad.norm().item()
        along, step, values = weight.grad / norm, 1e-5 * weight.norm().item(), []
        for distance in (step, -2 * step):
            with torch.no_grad():
                weight.add_(along, alpha=distance)
            values.append(_penalty(net, real).item())
        with torch.no_grad():
            weight.add_(along, alpha=step)
        assert (values[0] - values[1]) / (2 * step) == pytest.approx(norm, rel=0.02), name


@pytest.mark.parametrize("classes", [10, 1000])
def test_directions_of_classes_are_of_one_length(classes: int) -> None:
    torch.manual_seed(0)
    net = Discriminator(Shape(16, 1, classes, 8, 8))
    assert net.embed(torch.arange(classes)).norm(dim=1).mean().item() == pytest.approx(1, rel=0.1)


def test_the_penalty_points_the_same_way_in_bf16() -> None:
    torch.manual_seed(0)
    net = Discriminator(Shape(16, 1, 3, 8, 8))
    real = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    weights = [weight for name, weight in net.named_parameters() if not name.endswith("bias")]
    full, half = (torch.autograd.grad(_penalty(net, real, bf16), weights) for bf16 in (False, True))
    for one, other in zip(full, half, strict=True):
        assert torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.95
