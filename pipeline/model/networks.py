"""The generator and the discriminator: small convolutional networks, batch norm in the generator only.

At full resolution both work on 2 x 2 pixels at a time (Shi et al. 2016, section 3.1), where most time would go.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

RANK = (
    128  # of the discriminator's table of classes: whole, 1,000 (10,000) classes made a step 1.15 (1.9) times as long
)


@dataclass(frozen=True)
class Shape:
    """What decides a network: images are [N, channels, size, size]; `classes` is 1 without labels."""

    size: int
    channels: int
    classes: int
    z_dim: int
    width: int

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def base_size(size: int) -> tuple[int, int]:
    """(side of the smallest feature map, number of doublings to `size`).

    Raises ValueError where halving at least twice does not lead to a side of 4 to 8.
    """
    doublings = 2
    while size % 2**doublings == 0 and size // 2**doublings > 8:
        doublings += 1
    base = size // 2**doublings
    if size % 2**doublings or not 4 <= base <= 8:
        raise ValueError(
            f"size {size} is not 4 to 8 doubled at least twice; 16, 20, 24, 28, 32, 48, 64, 128 or 256 are"
        )
    return base, doublings


def channels_at(level: int, width: int) -> int:
    """Feature maps after `level` halvings, counted from 1; at most eight times the width."""
    return int(width * min(2 ** (level - 1), 8))


class GroupedBatchNorm(nn.BatchNorm2d):
    """Batch norm that, in training, takes its statistics of GROUP images at a time (Hoffer et al. 2017, section 4).

    So a batch means the same whether one process works on it or several share it.
    """

    GROUP = 32
    momentum: float  # of the running statistics
    running_mean: Tensor
    running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        parts, means, variances = [], [], []
        for group in torch.split(x, self.GROUP):
            part, mean, inverse = torch.native_batch_norm(
                group, self.weight, self.bias, None, None, True, 0.0, self.eps
            )
            parts.append(part)
            means.append(mean.detach())
            variances.append(inverse.detach().square().reciprocal() - self.eps)
        with torch.no_grad():
            self.running_mean.lerp_(torch.stack(means).mean(0), self.momentum)
            self.running_var.lerp_(torch.stack(variances).mean(0), self.momentum)
        return torch.cat(parts)


class Generator(nn.Module):
    """z float32 [N, z_dim], labels int64 [N] -> images float32 [N, C, H, W] in [-1, 1]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        base, doublings = base_size(shape.size)
        top = channels_at(doublings, shape.width)
        self.base, self.top = base, top
        self.embed = nn.Embedding(shape.classes, shape.z_dim)
        self.project = nn.Linear(2 * shape.z_dim, top * base * base)
        self.norm = GroupedBatchNorm(top)
        self.blocks = nn.ModuleList()
        self.norms = nn.ModuleList()
        for level in range(doublings, 1, -1):
            narrower = channels_at(level - 1, shape.width)
            self.blocks.append(nn.ConvTranspose2d(channels_at(level, shape.width), narrower, 4, 2, 1))
            self.norms.append(GroupedBatchNorm(narrower))
        self.to_image = nn.Sequential(
            nn.Conv2d(channels_at(1, shape.width), 4 * shape.channels, 3, padding=1), nn.PixelShuffle(2)
        )

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return self.draw(z, self.embed(labels))

    def draw(self, z: Tensor, classes: Tensor) -> Tensor:
        """classes: float32 [N, z_dim], rows of the table of classes, or points between them."""
        x = self.project(torch.cat([z, classes], dim=1)).view(-1, self.top, self.base, self.base)
        x = torch.relu(self.norm(x))
        for block, norm in zip(self.blocks, self.norms, strict=True):
            x = torch.relu(norm(block(x)))
        return torch.tanh(self.to_image(x).float())


def _directions(classes: int, features: int) -> nn.Module:
    """int64 [N] -> [N, features] of length near 1; of low rank where there are many classes, which then share it."""
    if classes <= RANK:
        embed = nn.Embedding(classes, features)
        nn.init.normal_(embed.weight, std=features**-0.5)
        return embed
    widen = nn.Linear(RANK, features, bias=False)
    nn.init.normal_(widen.weight, std=(RANK * features) ** -0.5)
    return nn.Sequential(nn.Embedding(classes, RANK), widen)


class Discriminator(nn.Module):
    """images float32 [N, C, H, W] in [-1, 1], labels int64 [N] -> scores float32 [N].

    The label enters by projection (Miyato and Koyama 2018, section 3).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        base, doublings = base_size(shape.size)
        widths = [shape.channels, *(channels_at(level, shape.width) for level in range(1, doublings + 2))]
        first = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * widths[0], widths[1], 3, padding=1))
        self.blocks = nn.ModuleList([first, *(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths[1:]))])
        features = widths[-1] * (base // 2) ** 2
        self.score = nn.Linear(features, 1)
        self.embed = _directions(shape.classes, features)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        x: Any = images
        for block in self.blocks:
            x = nn.functional.leaky_relu(block(x), 0.2)
        x = x.flatten(1)
        scores: Tensor = (self.score(x).squeeze(1) + (x * self.embed(labels)).sum(1)).float()
        return scores
