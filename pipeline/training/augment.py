"""Adaptive augmentation of what the discriminator sees, so that it cannot learn a small set by heart.

ADA: Karras et al. 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

MOST = 0.8  # up to here the generator can't learn the augmentation itself (section 2.2)
DRAWS = 11  # random numbers an image: five choices, six amounts
SHIFT, TURN, ZOOM, LIGHT, CONTRAST = 0.125, math.radians(10), 1.15, 0.2, 1.3


@dataclass
class Overfitting:
    """How much better the discriminator knows the training images than held-out ones, and the strength `p` against it.

    r_v = (E[D_train] - E[D_held_out]) / (E[D_train] - E[D_generated]) (section 3, eq. 1): 0 where it knows them alike,
    1 where held-out images look generated to it. sums float64 [3]: of the three scores since the last adjustment.
    """

    p: float
    r: float
    sums: Tensor

    def see(self, train: Tensor, held_out: Tensor, generated: Tensor) -> None:
        """Scores float32 [N] of one look."""
        self.sums += torch.stack([train.mean(), held_out.mean(), generated.mean()]).double()

    def adjust(self, target: float, step: float) -> None:
        """Move p by one step towards the strength at which r_v is at the target; forgets what was seen."""
        train, held_out, generated = self.sums.tolist()
        ratio = (train - held_out) / (train - generated) if train > generated else 0.0
        self.r = min(max(ratio, -1.0), 1.0)
        self.p = min(max(self.p + math.copysign(step, self.r - target), 0.0), MOST)
        self.sums.zero_()


def augment(images: Tensor, p: float, draws: Tensor) -> Tensor:
    """Shift, zoom, turn, brightness and contrast, each with probability p for each image, differentiable.

    images float32 [N, C, H, W] in [-1, 1]; draws float32 [N, DRAWS], uniform in [0, 1). An alpha channel keeps its
    values.
    """
    on = draws[:, :5] < p
    amount = 2 * draws[:, 5:] - 1
    return _coloured(_moved(images, on, amount), on, amount)


def _moved(images: Tensor, on: Tensor, amount: Tensor) -> Tensor:
    shift, zoom, turn = (on[:, index] for index in range(3))
    scale = torch.where(zoom, ZOOM ** amount[:, 2], 1.0)
    angle = torch.where(turn, TURN * amount[:, 3], 0.0)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    x, y = (torch.where(shift, 2 * SHIFT * amount[:, axis], 0.0) for axis in (0, 1))
    affine = torch.stack([torch.stack([cosine, -sine, x], 1), torch.stack([sine, cosine, y], 1)], 1)
    places = F.affine_grid(affine, list(images.shape), align_corners=False)
    return F.grid_sample(images, places, padding_mode="reflection", align_corners=False)


def _coloured(images: Tensor, on: Tensor, amount: Tensor) -> Tensor:
    light = torch.where(on[:, 3], LIGHT * amount[:, 4], 0.0)
    contrast = torch.where(on[:, 4], CONTRAST ** amount[:, 5], 1.0)
    colours = images[:, : 3 if images.shape[1] == 4 else None]
    mean = colours.mean(dim=(1, 2, 3), keepdim=True)
    changed = (colours - mean) * contrast[:, None, None, None] + mean + light[:, None, None, None]
    return torch.cat([changed, images[:, 3:]], 1) if images.shape[1] == 4 else changed
