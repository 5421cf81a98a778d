"""What a preference sees of an item: the evaluation's features, and how it looks.

Features of a classifier tell what an item shows and pass over how: of MNIST digits, by 800 ratings, they tell thick
strokes from thin ones with an AUC of .75, and of .93 together with area means.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def seen(features_ND: NDArray[np.float32], areas: NDArray[np.uint8]) -> NDArray[np.float32]:
    """float32 [N, D + A] of features [N, D] and area means, uint8 [N, side, side] or [N, A], 0 to 255."""
    flat = areas.reshape(len(areas), -1).astype(np.float32) / 255
    return np.hstack([features_ND.astype(np.float32, copy=False), flat])


def blocks_of(features_ND: NDArray[np.float32], areas: NDArray[np.uint8]) -> tuple[int, int]:
    """How many there are of each kind: Evidence.blocks."""
    return features_ND.shape[1], int(np.prod(areas.shape[1:]))
