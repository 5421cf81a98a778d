"""One step of the game: discriminator, generator, average."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipeline.model.losses import LOSSES, Loss, gradient_penalty
from pipeline.settings import Train
from pipeline.training.state import TrainingState


def learning_rate(settings: Train, images_seen: int, budget: int) -> float:
    """Cosine (Loshchilov and Hutter 2017, eq. 5) from lr to lr * lr_end over the budget."""
    share = min(images_seen / max(budget, 1), 1.0)
    return settings.lr * (settings.lr_end + (1 - settings.lr_end) * (1 + math.cos(math.pi * share)) / 2)


def update(
    state: TrainingState, settings: Train, real: Tensor, labels: Tensor, budget: int, bf16: bool
) -> dict[str, Tensor]:
    """Advance `state` by one batch; returns scalar tensors loss_g and loss_d."""
    step = state.images_seen // len(real)
    for optimiser in state.optimisers().values():
        optimiser.param_groups[0]["lr"] = learning_rate(settings, state.images_seen, budget)
    loss_g, loss_d = LOSSES[settings.loss]
    device = real.device.type
    z = torch.randn(len(real), settings.z_dim, generator=state.noise, device=real.device)
    with torch.autocast(device, torch.bfloat16, enabled=bf16):
        fake = state.generator(z, labels)
        d_value = _update_d(state, settings, real, fake.detach(), labels, loss_d, step % settings.penalty_every == 0)
        state.discriminator.requires_grad_(False)
        with torch.no_grad():
            real_scores = state.discriminator(real, labels)
        g_value = loss_g(real_scores, state.discriminator(fake, labels))
    state.optimiser_g.zero_grad(set_to_none=True)
    torch.autograd.backward(g_value)
    state.optimiser_g.step()
    state.discriminator.requires_grad_(True)
    state.images_seen += len(real)
    average(state, settings.ema, step)
    return {"loss_g": g_value.detach(), "loss_d": d_value}


def _update_d(
    state: TrainingState, settings: Train, real: Tensor, fake: Tensor, labels: Tensor, loss_d: Loss, penalise: bool
) -> Tensor:
    """Real and fake images in one pass: nothing in the discriminator looks across a batch."""
    penalise = penalise and settings.gamma > 0
    images = torch.cat([real, fake]).requires_grad_(penalise)
    scores = state.discriminator(images, labels.repeat(2))
    value = loss_d(*scores.chunk(2))
    total = value
    if penalise:  # the mean over both is half of the mean over each, R1 and R2, together
        total = value + settings.penalty_every * settings.gamma * gradient_penalty(scores, images)
    state.optimiser_d.zero_grad(set_to_none=True)
    torch.autograd.backward(total)
    state.optimiser_d.step()
    return value.detach()


@torch.no_grad()
def average(state: TrainingState, decay: float, step: int) -> None:
    """Exponential moving average of the weights with warm-up; buffers are copied."""
    decay = min(decay, (1 + step) / (10 + step))
    ours: list[Tensor] = list(state.average.parameters())
    theirs: list[Tensor] = list(state.generator.parameters())
    torch._foreach_lerp_(ours, theirs, 1 - decay)
    for mine, buffer in zip(state.average.buffers(), state.generator.buffers(), strict=True):
        mine.copy_(buffer)
