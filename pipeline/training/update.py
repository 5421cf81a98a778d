"""One step of the game: discriminator, generator, average."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.model.losses import LOSSES, gradient_penalty
from pipeline.model.networks import Generator
from pipeline.settings import Train
from pipeline.training.augment import DRAWS, augment
from pipeline.training.data import BatchSource
from pipeline.training.listening import Rejected
from pipeline.training.ranks import Ranks
from pipeline.training.state import TrainingState

LOOK_EVERY, LOOKS = 8, 8  # steps between two looks at held-out images; looks to an adjustment
RAMP_IMAGES, RAMP_SHARE = 500_000, 0.25  # p can go from 0 to 1 in so many images (Karras et al. 2020), or of the budget


@dataclass(frozen=True)
class Rules:
    """What does not change while a run goes on. budget: images; spread: of the training images' pixels.

    held_out: images to compare the discriminator's scores with; without them there is no augmentation. rejected: items
    that stand among the generated ones that the discriminator sees. warm_up: images in which the rate rises to lr.
    at_once: images that are worked on at a time, in whole groups of the norm; 0: the batch.
    """

    settings: Train
    ranks: Ranks
    device: torch.device
    budget: int
    lr: float
    spread: float
    bf16: bool
    held_out: BatchSource | None = None
    rejected: Rejected | None = None
    warm_up: int = 0
    at_once: int = 0


def learning_rate(rules: Rules, images_seen: int, rollbacks: int) -> float:
    """Cosine (Loshchilov and Hutter 2017, eq. 5) from lr to lr * lr_end over the budget, halved by each rollback; rises
    in a straight line at first where there is a warm-up."""
    share, end = min(images_seen / rules.budget, 1.0), rules.settings.lr_end
    rate = rules.lr * (end + (1 - end) * (1 + math.cos(math.pi * share)) / 2) * 0.5**rollbacks
    return rate * min(1.0, (images_seen + rules.settings.batch) / rules.warm_up) if rules.warm_up else rate


@dataclass(frozen=True)
class _Piece:
    """Images of a step that are worked on at once, on the device; share: of the step's.

    z float32 [N, z_dim]; draws [2, N, DRAWS], of the augmentation of real and of generated images; rejected: places
    among the generated ones, and the images that stand there.
    """

    real: Tensor
    labels: Tensor
    z: Tensor
    draws: Tensor | None
    rejected: tuple[Tensor, Tensor] | None
    share: float

    def shown(self, generator: Generator, p: float) -> tuple[Tensor, Tensor]:
        """Real and generated images as the discriminator sees them."""
        fake = generator(self.z, self.labels)
        if self.draws is None:
            return self.real, fake
        return augment(self.real, p, self.draws[0]), augment(fake, p, self.draws[1])


def update(state: TrainingState, rules: Rules, source: BatchSource) -> Tensor:
    """Advance `state` by one batch; returns float32 [2]: the losses of generator and discriminator.

    Where the batch is worked on piece by piece, gradients add up to those of the whole, but for sums in another order.
    """
    settings, step, p = rules.settings, state.images_seen // source.batch, state.overfitting.p
    for optimiser in state.optimisers().values():
        optimiser.param_groups[0]["lr"] = learning_rate(rules, state.images_seen, state.rollbacks)
    pieces = _pieces(state, rules, source, step)
    with torch.autocast(rules.device.type, torch.bfloat16, enabled=rules.bf16):
        whole = pieces[0].shown(state.generator, p) if len(pieces) == 1 else None  # made once, for both networks
        unseen = _held_out_scores(state, rules, step)
        loss_d, scores = _update_d(state, rules, pieces, whole, step % settings.penalty_every == 0)
        if unseen is not None:
            _look(state, rules, unseen, scores, step)
        loss_g = _update_g(state, rules, pieces, whole, p)
    state.images_seen += source.batch
    average(state, settings.ema, step)
    return torch.stack([loss_g, loss_d])


def _pieces(state: TrainingState, rules: Rules, source: BatchSource, step: int) -> list[_Piece]:
    """This process's part of the step; what is drawn is drawn for the whole batch, whoever works on it."""
    settings, device, mine = rules.settings, rules.device, rules.ranks.part(source.batch)
    images, asked = source.at(state.images_seen, mine)
    real, labels = on_device(images, asked, device)
    z = torch.randn(source.batch, settings.z_dim, generator=state.noise, device=device)[mine]
    draws, count = None, len(asked)
    if state.overfitting.p > 0:
        draws = torch.rand(2, source.batch, DRAWS, generator=state.noise, device=device)[:, mine]
    places, rejected = torch.empty(0, dtype=torch.int64), None
    if rules.rejected:
        places, rejected = rules.rejected.among(step, asked.numpy(), source.batch, mine)

    def piece(start: int, end: int) -> _Piece:
        here, there = slice(start, end), (places >= start) & (places < end)
        instead = None
        if rejected is not None:
            instead = ((places[there] - start).to(device), on_device(rejected[there], asked, device)[0])
        drawn = None if draws is None else draws[:, here]
        return _Piece(real[here], labels[here], z[here], drawn, instead, (end - start) / count)

    size = rules.at_once or count
    return [piece(start, min(start + size, count)) for start in range(0, count, size)]


def on_device(images: Tensor, labels: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """uint8 to float32 in [-1, 1], there."""
    moved = images.to(device, non_blocking=True).float().div_(127.5).sub_(1)
    return moved, labels.to(device, non_blocking=True)


def _with(shown: Tensor, piece: _Piece, p: float) -> Tensor:
    """The rejected images in their places among the generated ones, augmented as what was there."""
    if piece.rejected is None:
        return shown
    places, images = piece.rejected
    if piece.draws is not None and len(places):
        images = augment(images, p, piece.draws[1][places])
    return shown.index_copy(0, places, images.to(shown.dtype))


Shown = tuple[Tensor, Tensor]


def _update_d(
    state: TrainingState, rules: Rules, pieces: list[_Piece], whole: Shown | None, penalise: bool
) -> tuple[Tensor, Tensor]:
    """Real and fake images in one pass: nothing in the discriminator looks across a batch.

    Returns the loss and the scores [2N]. The penalty's weight is in units of the data's own spread: how far a
    score may change from one image to another does then not depend on size, contrast or number of channels.
    """
    settings, p = rules.settings, state.overfitting.p
    penalise = penalise and settings.gamma > 0
    seen = list[Tensor]()

    def losses() -> Iterator[tuple[Tensor, Tensor]]:
        for piece in pieces:
            real, fake = whole or piece.shown(state.generator, p)
            images = torch.cat([real, _with(fake.detach(), piece, p)]).requires_grad_(penalise)
            del real, fake
            scores = state.discriminator(images, piece.labels.repeat(2))
            seen.append(scores.detach())
            total = value = LOSSES[settings.loss][1](*scores.chunk(2))
            if penalise:  # the mean over both is half of the mean over each, R1 and R2, together
                weight = settings.penalty_every * settings.gamma * rules.spread
                total = value + weight * gradient_penalty(scores, images)
            yield piece.share * total, piece.share * value

    loss = _descend(state.discriminator, state.optimiser_d, losses(), rules.ranks)
    halves = [scores.chunk(2) for scores in seen]
    return loss, torch.cat([real for real, _ in halves] + [fake for _, fake in halves])


def _update_g(state: TrainingState, rules: Rules, pieces: list[_Piece], whole: Shown | None, p: float) -> Tensor:
    def losses() -> Iterator[tuple[Tensor, Tensor]]:
        for piece in pieces:
            real, fake = whole or piece.shown(state.generator, p)
            with torch.no_grad():
                real_scores = state.discriminator(real, piece.labels)
            value = piece.share * LOSSES[rules.settings.loss][0](real_scores, state.discriminator(fake, piece.labels))
            yield value, value

    state.discriminator.requires_grad_(False)
    found = _descend(state.generator, state.optimiser_g, losses(), rules.ranks)
    state.discriminator.requires_grad_(True)
    return found


def _descend(
    net: torch.nn.Module, optimiser: torch.optim.Optimizer, losses: Iterator[tuple[Tensor, Tensor]], ranks: Ranks
) -> Tensor:
    """One step down the sum of what stands first in `losses`, its gradients averaged over the processes; returns the
    sum of what stands second, averaged too. Of each its graph is gone before the next is made."""
    optimiser.zero_grad(set_to_none=True)
    told = list[Tensor]()
    for total, value in losses:
        with torch.autocast(total.device.type, enabled=False):
            torch.autograd.backward(total)
        told.append(value.detach().clone())
        del total, value
    found = told[0] if len(told) == 1 else torch.stack(told).sum()
    floating = [buffer for buffer in net.buffers() if buffer.is_floating_point()]
    ranks.average([weight.grad for weight in net.parameters() if weight.grad is not None] + floating + [found])
    optimiser.step()
    return found


@torch.no_grad()
def _held_out_scores(state: TrainingState, rules: Rules, step: int) -> Tensor | None:
    """Scores [N] of held-out images at a step with a look, by the discriminator that scores this step's images.

    By another, one update later, they would not compare: pairs teach differences of scores, and their level drifts.
    """
    if not rules.held_out or not rules.settings.augment_target or step % LOOK_EVERY:
        return None
    batch, overfitting = rules.held_out.batch, state.overfitting
    part = rules.ranks.part(batch)
    images, labels = on_device(*rules.held_out.at(step // LOOK_EVERY * batch, part), rules.device)
    if overfitting.p > 0:
        draws = torch.rand(batch, DRAWS, generator=state.noise, device=rules.device)[part]
        images = augment(images, overfitting.p, draws)
    size = rules.at_once or len(images)
    pieces = zip(torch.split(images, size), torch.split(labels, size), strict=True)
    return torch.cat([state.discriminator(*piece) for piece in pieces])


@torch.no_grad()
def _look(state: TrainingState, rules: Rules, unseen: Tensor, scores: Tensor, step: int) -> None:
    """Hold the scores of this step against those of held-out images; after some looks adjust the augmentation."""
    train, generated = scores.chunk(2)
    state.overfitting.see(train, unseen, generated)
    if step // LOOK_EVERY % LOOKS == LOOKS - 1:
        rules.ranks.average([state.overfitting.sums])
        seen = LOOK_EVERY * LOOKS * (state.images_seen // max(step, 1))
        state.overfitting.adjust(rules.settings.augment_target, seen / min(RAMP_IMAGES, RAMP_SHARE * rules.budget))


@torch.no_grad()
def average(state: TrainingState, decay: float, step: int) -> None:
    """Exponential moving average of the weights with warm-up; buffers are copied."""
    decay = min(decay, (1 + step) / (10 + step))
    ours: list[Tensor] = list(state.average.parameters())
    theirs: list[Tensor] = list(state.generator.parameters())
    torch._foreach_lerp_(ours, theirs, 1 - decay)
    for mine, buffer in zip(state.average.buffers(), state.generator.buffers(), strict=True):
        mine.copy_(buffer)
