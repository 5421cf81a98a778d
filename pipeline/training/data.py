"""The order of the training images: a function of (seed, images_seen) alone, so that resuming needs no state."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.lessons import drawn

Integers = NDArray[np.int64]


class BatchSource:
    """Serves shuffled epochs; `at(images_seen)` is the batch that begins there.

    balance: 0 serves every image once an epoch; 1 every class alike often; between them a class of n images has a
    share in proportion to n ** (1 - balance) (0.5: the square-root sampling of Mahajan et al. 2018, section 2.2).
    weights: float64 [N] above 0, how often each image is served beside the others of its class; a class's share is then
    multiplied by its mean weight.
    """

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: Integers,
        batch: int,
        seed: int,
        balance: float = 0.0,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        self.images, self.labels, self.batch, self.seed = images, labels, min(batch, len(images)), seed
        ids, counts = np.unique(labels, return_counts=True)
        self._members = [np.flatnonzero(labels == label) for label in ids]
        self._quotas = quotas(counts, balance)
        self._ideal = None if weights is None else _ideal(labels, counts, balance, weights)
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def at(self, images_seen: int, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """uint8 [B, C, H, W] and int64 [B]; `part` of the batch."""
        epoch, place = divmod(images_seen // self.batch, len(self.images) // self.batch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._shuffled(epoch)
        rows = self._order[place * self.batch : (place + 1) * self.batch][part]
        return torch.from_numpy(self.images[rows]), torch.from_numpy(self.labels[rows])

    def _shuffled(self, epoch: int) -> Integers:
        random = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
        if self._ideal is not None:
            mixed = random.permutation(len(self.images))
            order = mixed[np.argsort(self.labels[mixed], kind="stable")]  # a class's share holds in every epoch
            return random.permutation(order[drawn(self._ideal[order], random)])
        if all(len(members) == quota for members, quota in zip(self._members, self._quotas, strict=True)):
            return random.permutation(len(self.images))
        chosen = [
            np.concatenate([random.permutation(members) for _ in range(-(-quota // len(members)))])[:quota]
            for members, quota in zip(self._members, self._quotas, strict=True)
        ]
        return random.permutation(np.concatenate(chosen))


def quotas(counts: Integers, balance: float) -> Integers:
    """int64 [K]: how often each class is served an epoch; sums to the number of images (largest remainders)."""
    ideal = counts.astype(np.float64) ** (1 - balance)
    ideal *= counts.sum() / ideal.sum()
    whole = np.floor(ideal + 1e-9).astype(np.int64)
    short = int(counts.sum() - whole.sum())
    whole[np.argsort(whole - ideal, kind="stable")[:short]] += 1
    return whole


def _ideal(labels: Integers, counts: Integers, balance: float, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [N]: how often each image is served an epoch, on average; sums to the number of images."""
    _, of_class = np.unique(labels, return_inverse=True)
    ideal: NDArray[np.float64] = counts[of_class].astype(np.float64) ** -balance * weights
    ideal *= len(labels) / ideal.sum()
    return ideal


def spread(images: NDArray[np.uint8], most: int = 10_000) -> float:
    """The trace of the pixels' covariance of up to `most` images, taken evenly, in [-1, 1]."""
    rows = np.linspace(0, len(images) - 1, min(most, len(images))).astype(np.int64)
    sums, squares = np.zeros(images.shape[1:]), np.zeros(images.shape[1:])
    for block in np.array_split(rows, -(-len(rows) // 500)):
        pixels = images[block].astype(np.float64) / 127.5 - 1
        sums, squares = sums + pixels.sum(0), squares + np.square(pixels).sum(0)
    return float((squares / len(rows) - np.square(sums / len(rows))).sum())
