"""The order of the training images: a function of (seed, images_seen) alone, so that resuming needs no state."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class BatchSource:
    """Serves shuffled epochs; `at(images_seen)` is the batch that begins there."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64], batch: int, seed: int) -> None:
        self.images, self.labels, self.batch, self.seed = images, labels, min(batch, len(images)), seed
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def at(self, images_seen: int) -> tuple[Tensor, Tensor]:
        """float32 [B, C, H, W] in [-1, 1] and int64 [B]."""
        step = images_seen // self.batch
        per_epoch = len(self.images) // self.batch
        epoch, place = divmod(step, per_epoch)
        if epoch != self._epoch:
            generator = np.random.Generator(np.random.Philox(key=[self.seed, epoch]))
            self._epoch, self._order = epoch, generator.permutation(len(self.images))
        rows = np.sort(self._order[place * self.batch : (place + 1) * self.batch])
        images = torch.from_numpy(self.images[rows]).float().div_(127.5).sub_(1)
        return images, torch.from_numpy(self.labels[rows])
