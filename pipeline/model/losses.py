"""Losses as small functions; scores are float32 [N], pairs share a label."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

Loss = Callable[[Tensor, Tensor], Tensor]


def relativistic_g(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic pairing (Jolicoeur-Martineau 2018; Huang et al. 2024, eq. 2): f(D(G(z)) - D(x))."""
    return softplus(real - fake).mean()


def relativistic_d(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(fake - real).mean()


def non_saturating_g(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(G(z)) (Goodfellow et al. 2014, section 3), on logits."""
    return softplus(-fake).mean()


def non_saturating_d(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))) (Goodfellow et al. 2014, eq. 1), on logits."""
    return (softplus(-real) + softplus(fake)).mean()


LOSSES: dict[str, tuple[Loss, Loss]] = {
    "relativistic": (relativistic_g, relativistic_d),
    "non_saturating": (non_saturating_g, non_saturating_d),
}


def gradient_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """Mean squared gradient of the scores at the images, in fp32: R1 at real, R2 at fake ones.

    Mescheder et al. 2018, eq. 9. `images` must require gradients.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3)).mean()
