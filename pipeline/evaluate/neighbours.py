"""Precision, recall, density and coverage: which feature vectors lie in each other's neighbourhoods.

N fakes, M reals, D: how long each vector is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.evaluate.metrics import Array, centred, squares, tensor

RIM = 1 + 1e-5  # a point on the rim of a ball is inside, whatever the rounding


@dataclass(frozen=True)
class Neighbours:
    """One entry an item, so that any group of items can be told of.

    precise [N]: the fake lies in the real manifold; recalled [M]: the real lies in the fake one (Kynkäänniemi et al.
    2019, section 2: a manifold is the union of balls that reach each point's k-th neighbour). density [N]: how many
    real balls hold the fake, over k; covered [M]: the real's ball holds a fake (Naeem et al. 2020, section 3).
    """

    precise: NDArray[np.bool_]
    recalled: NDArray[np.bool_]
    density: NDArray[np.float64]
    covered: NDArray[np.bool_]


def neighbours(real_MD: Array, fake_ND: Array, k: int = 3, coverage_k: int = 5) -> Neighbours:
    """k: of precision and recall; coverage_k: of density and coverage. Both at most one less than there are points."""
    fake_ND, real_MD = centred(fake_ND, real_MD)
    fake, real = tensor(fake_ND), tensor(real_MD)
    k, coverage_k = min(k, len(real) - 1, len(fake) - 1), min(coverage_k, len(real) - 1)
    narrow, wide = (reach * RIM for reach in radii(real, (k, coverage_k)))
    (own,) = (reach * RIM for reach in radii(fake, (k,)))
    precise, density = torch.empty(len(fake), dtype=torch.bool), torch.empty(len(fake), dtype=torch.int64)
    recalled, covered = torch.zeros(len(real), dtype=torch.bool), torch.zeros(len(real), dtype=torch.bool)
    for rows, found in squares(fake, real):
        held = found <= wide
        density[rows] = held.sum(1)
        covered |= held.any(0)
        precise[rows] = (found <= narrow).any(1)
        recalled |= (found <= own[rows, None]).any(0)
    return Neighbours(precise.numpy(), recalled.numpy(), density.double().numpy() / coverage_k, covered.numpy())


def radii(points_ND: torch.Tensor, ks: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    """Squared distance of each point to its k-th nearest other point, [N], for each k of at least 1."""
    found = torch.empty(len(points_ND), max(ks))
    for rows, block in squares(points_ND, points_ND):
        own = torch.arange(rows.start, rows.stop)[:, None]
        block.scatter_(1, own, torch.inf)
        near = block.topk(max(ks), dim=1, largest=False, sorted=True).indices
        found[rows] = (points_ND[rows, None] - points_ND[near]).square().sum(2)
    return tuple(found[:, k - 1] for k in ks)
