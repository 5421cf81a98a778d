"""Recipes: of each item, all that an image is made from beside the weights."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .noise import between, latents


@dataclass(frozen=True)
class Recipes:
    """N items, each from the latent of its seed, or on the way from there to that of another.

    labels, seeds, toward_labels, toward_seeds: int64 [N]; shares: float32 [N] in [0, 1], of the way between the two
    latents; label_shares: the same between the two classes.
    """

    labels: NDArray[np.int64]
    seeds: NDArray[np.int64]
    toward_labels: NDArray[np.int64]
    toward_seeds: NDArray[np.int64]
    shares: NDArray[np.float32]
    label_shares: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Recipes:
        return Recipes(*(getattr(self, field.name)[rows] for field in fields(self)))

    def latents(self, dim: int) -> NDArray[np.float32]:
        """float32 [N, dim]. A latent on no way is that of its seed, to the bit."""
        z = latents(self.seeds, dim)
        moved = self.shares > 0
        if moved.any():
            ends = latents(self.toward_seeds[moved], dim)
            z[moved] = between(z[moved], ends, self.shares[moved, None])
        return z


def plain(labels: NDArray[np.int64], seeds: NDArray[np.int64]) -> Recipes:
    """Items by class and seed alone."""
    still = np.zeros(len(labels), np.float32)
    return Recipes(labels, seeds, labels, seeds, still, still)


def walk(labels: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64], steps: int) -> Recipes:
    """N x steps items, a walk after the other: from the item of one seed to that of another, both of one label."""
    shares = np.tile(np.linspace(0, 1, steps, dtype=np.float32), len(labels))
    labels, starts, ends = (values.repeat(steps) for values in (labels, starts, ends))
    return Recipes(labels, starts, labels, ends, shares, np.zeros(len(labels), np.float32))


def joined(*several: Recipes) -> Recipes:
    return Recipes(*(np.concatenate([getattr(one, field.name) for one in several]) for field in fields(Recipes)))
