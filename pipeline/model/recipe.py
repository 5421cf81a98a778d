"""Recipes: of each item, all that an image is made from beside the weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .noise import between, latents

ARRAYS = ("labels", "seeds", "toward_labels", "toward_seeds", "shares", "label_shares")
TYPES = (np.int64, np.int64, np.float32, np.float32)  # of a turn


class Turn(NamedTuple):
    """From where an item stands: `share` of the way to the latent of a seed, `label_share` of that to a class."""

    label: int
    seed: int
    share: float
    label_share: float


@dataclass(frozen=True)
class Recipes:
    """N items, each from the latent of its seed, or on the way from there to that of another.

    labels, seeds, toward_labels, toward_seeds: int64 [N]; shares: float32 [N] in [0, 1], of the way between the two
    latents; label_shares: the same between the two classes. way: turns that all of them take before their own, as
    variations of a variation do.
    """

    labels: NDArray[np.int64]
    seeds: NDArray[np.int64]
    toward_labels: NDArray[np.int64]
    toward_seeds: NDArray[np.int64]
    shares: NDArray[np.float32]
    label_shares: NDArray[np.float32]
    way: tuple[Turn, ...] = field(default=(), kw_only=True)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Recipes:
        return Recipes(*(getattr(self, name)[rows] for name in ARRAYS), way=self.way)

    def turns(self) -> Iterator[Recipes]:
        """In order, each as `toward_labels`, `toward_seeds`, `shares` and `label_shares`; the own one is the last."""
        for turn in self.way:
            turned = (np.full(len(self), value, kind) for value, kind in zip(turn, TYPES, strict=True))
            yield Recipes(self.labels, self.seeds, *turned)
        yield replace(self, way=())

    def latents(self, dim: int) -> NDArray[np.float32]:
        """float32 [N, dim]. A latent on no way is that of its seed, to the bit."""
        z = latents(self.seeds, dim)
        for turn in self.turns():
            moved = turn.shares > 0
            if moved.any():
                ends = latents(turn.toward_seeds[moved], dim)
                z[moved] = between(z[moved], ends, turn.shares[moved, None])
        return z

    def onward(self, row: int) -> tuple[int, int, tuple[Turn, ...]]:
        """Class, seed and way of what stands where this one does: others can go on from there.

        Where a turn goes all the way to a class nothing is left of those before it, and it is the class.
        """
        values = (getattr(self, name)[row].item() for name in ARRAYS[2:])
        own = Turn(*values)
        way = (*self.way, own) if own.share or own.label_share else self.way
        label = int(self.labels[row])
        whole = max((place for place, turn in enumerate(way) if turn.label_share == 1), default=-1)
        if whole >= 0:
            label = way[whole].label
            way = (*(turn._replace(label_share=0.0) for turn in way[: whole + 1]), *way[whole + 1 :])
        return label, int(self.seeds[row]), way


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
    """Raises ValueError where they come by different ways."""
    if len(ways := {one.way for one in several}) > 1:
        raise ValueError(f"recipes by {len(ways)} different ways")
    return Recipes(*(np.concatenate([getattr(one, name) for one in several]) for name in ARRAYS), way=ways.pop())
