"""The seat of a user's own invisible watermark: none comes with us, since good ones need weights of their makers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ParamsError
from pipeline.marks.hooks import load_function

if TYPE_CHECKING:
    from pipeline.marks.credentials import Claim

    Watermark = Callable[[NDArray[np.uint8], Claim], NDArray[np.uint8]]


def load_watermark(name: str) -> Watermark:
    """`module:function` as a function from an image, uint8 [C, H, W], and its claim to the image with the mark in it.

    The function gets a copy; what it returns is checked to be of the same shape and uint8. Both raise ParamsError.
    """
    where = f"watermark {name}"
    function = load_function(name, where)

    def watermark(image_CHW: NDArray[np.uint8], claim: Claim) -> NDArray[np.uint8]:
        try:
            found = function(image_CHW.copy(), claim)
        except Exception as error:  # a user's function can raise anything
            why = " ".join(str(error).split())[:200]
            raise ParamsError(
                f"raised {type(error).__name__}: {why}", where=where, remedy="mend it, or leave the watermark off"
            ) from error
        _check(found, image_CHW, where)
        return np.ascontiguousarray(found)

    return watermark


def _check(found: object, image_CHW: NDArray[np.uint8], where: str) -> None:
    if not isinstance(found, np.ndarray):
        raise ParamsError(f"returned a {type(found).__name__}", where=where, remedy="return a NumPy array")
    if found.dtype != np.uint8:
        raise ParamsError(
            f"returned {found.dtype}, not uint8", where=where, remedy="round and clip to 0..255, then .astype('uint8')"
        )
    if found.shape != image_CHW.shape:
        raise ParamsError(
            f"returned the shape {found.shape}, not {image_CHW.shape}",
            where=where,
            remedy="keep channels, height, width",
        )
