"""One finished piece, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Piece:
    """image: uint8 [H, W, C] with C of 1, 3 or 4. facts: what stands in its row of the manifest, JSON scalars."""

    name: str
    image: NDArray[np.uint8]
    facts: Mapping[str, Scalar]


@dataclass(frozen=True)
class Refused:
    """A piece that would have been bad, and the reason in words for the person who ordered it."""

    name: str
    reason: str


def pixels_of(image_CHW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [H, W, C] of a generated image, uint8 [C, H, W] with C of 1, 3 or 4."""
    if image_CHW.dtype != np.uint8 or image_CHW.ndim != 3 or image_CHW.shape[0] not in (1, 3, 4) or not image_CHW.size:
        raise ValueError(f"{image_CHW.dtype} {image_CHW.shape} is no uint8 [1, 3 or 4, H, W]")
    return np.ascontiguousarray(image_CHW.transpose(1, 2, 0))


def picture_of(pixels_HWC: NDArray[np.uint8]) -> Any:
    """The PIL image of uint8 [H, W, C]."""
    from PIL import Image

    return Image.fromarray(pixels_HWC[..., 0] if pixels_HWC.shape[-1] == 1 else pixels_HWC)
