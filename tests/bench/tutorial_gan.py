"""The GAN that tutorials teach, as the yardstick: two multilayer perceptrons with the label concatenated."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from pipeline.model.bundle import quantise
from pipeline.model.noise import latents
from pipeline.shards import ShardsReader

Z_DIM, HIDDEN_G, HIDDEN_D = 100, (128, 256, 512, 1024), (512, 256, 128)
BATCH = 128


@dataclass(frozen=True)
class Adam:
    """Its settings: what Adam has by default, as tutorials print it, or those of DCGAN (Radford et al. 2016)."""

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)


DCGAN = Adam(2e-4, (0.5, 0.999))


@dataclass(frozen=True)
class TutorialGan:
    """A trained generator. `sample(labels [N], seeds [N])` gives uint8 [N, C, S, S]."""

    generator: nn.Module
    classes: int
    side: tuple[int, int, int]
    images_seen: int
    seconds: float

    @torch.inference_mode()
    def sample(self, labels: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.uint8]:
        self.generator.eval()
        rows = range(0, len(labels), 1000)
        return np.concatenate([self._chunk(labels[i : i + 1000], seeds[i : i + 1000]) for i in rows])

    def _chunk(self, labels: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.uint8]:
        z, label = torch.from_numpy(latents(seeds, Z_DIM)), _code(torch.from_numpy(labels), self.classes)
        out: Tensor = self.generator(torch.cat([z, label], 1)).view(-1, *self.side)
        return quantise(out).numpy()


def train_tutorial_gan(
    shards: ShardsReader,
    seconds: float,
    seed: int,
    adam: Adam,
    look: Callable[[TutorialGan], None],
    looks: int,
) -> TutorialGan:
    """Train for `seconds` of wall time with the non-saturating loss (Goodfellow et al. 2014) and Adam.

    `look` sees it `looks` times, evenly spaced; what it takes is not counted.
    """
    meta = shards.meta
    side, classes = (meta.channels, meta.size, meta.size), max(1, len(meta.classes))
    torch.manual_seed(seed)
    generator = _generator(classes, int(np.prod(side)))
    discriminator = _discriminator(classes, int(np.prod(side)))
    optimiser_g, optimiser_d = (
        torch.optim.Adam(n.parameters(), adam.lr, adam.betas) for n in (generator, discriminator)
    )
    rows, seen, looked, start = np.random.default_rng(seed), 0, 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        if spent >= seconds * (looked + 1) / (looks + 1):
            looked += 1
            look(TutorialGan(generator, classes, side, seen, spent))
            generator.train()
            start = time.perf_counter() - spent
        picked = np.sort(rows.integers(0, len(shards.train_labels), BATCH))
        real = torch.from_numpy(shards.train_images[picked]).float().div_(127.5).sub_(1).flatten(1)
        label = _code(torch.from_numpy(shards.train_labels[picked]), classes)
        fake = generator(torch.cat([torch.randn(BATCH, Z_DIM), label], 1))
        on_real = discriminator(torch.cat([real, label], 1))
        on_fake = discriminator(torch.cat([fake.detach(), label], 1))
        _step(optimiser_d, softplus(-on_real).mean() + softplus(on_fake).mean())
        _step(optimiser_g, softplus(-discriminator(torch.cat([fake, label], 1))).mean())
        seen += BATCH
    return TutorialGan(generator, classes, side, seen, time.perf_counter() - start)


def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def _code(labels: Tensor, classes: int) -> Tensor:
    return one_hot(labels, classes).float()


def _generator(classes: int, pixels: int) -> nn.Module:
    layers: list[nn.Module] = []
    for i, (wide_in, wide_out) in enumerate(pairwise((Z_DIM + classes, *HIDDEN_G))):
        layers += [nn.Linear(wide_in, wide_out), *([nn.BatchNorm1d(wide_out)] if i else []), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(HIDDEN_G[-1], pixels), nn.Tanh())


def _discriminator(classes: int, pixels: int) -> nn.Module:
    layers: list[nn.Module] = []
    for wide_in, wide_out in pairwise((pixels + classes, *HIDDEN_D)):
        layers += [nn.Linear(wide_in, wide_out), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(HIDDEN_D[-1], 1))
