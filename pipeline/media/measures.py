"""What is measured of greys: brightness, contrast, difference hash, area means."""

from __future__ import annotations

from functools import cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

MEASURED_PIXELS = 2**22  # at once: 16 MiB of float32
RED, GREEN, BLUE, HALF = 19595, 38470, 7471, 2**15  # of 2**16: ITU-R BT.601, as Pillow rounds it


def at_once(height: int, width: int) -> int:
    """How many images of this size are measured together."""
    return max(1, MEASURED_PIXELS // (height * width))


def measure(greys_NHW: NDArray[np.uint8]) -> tuple[list[float], list[float], list[str]]:
    """Mean and standard deviation of brightness, 0 to 255, and the difference hash, of each of N images of one size.

    The hash: of 8 x 9 area means, whether each is darker than its right neighbour. The means are whole numbers in
    float32, so that equal areas compare as equal.
    """
    count = len(greys_NHW)
    pixels = greys_NHW.astype(np.float32)
    areas = _areas(pixels, 8, 9)
    flat = pixels.reshape(count, -1)
    mean = flat.mean(1, dtype=np.float64)
    flat -= mean[:, None].astype(np.float32)
    contrast = np.sqrt(np.einsum("np,np->n", flat, flat) / flat.shape[1])
    bits = np.packbits((areas[:, :, 1:] > areas[:, :, :-1]).reshape(count, 64), axis=1)
    return mean.tolist(), contrast.tolist(), [row.tobytes().hex() for row in bits]


def area_means(greys_NHW: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """uint8 [N, side, side]: mean brightness of equal areas."""
    _, height, width = greys_NHW.shape
    sums = _areas(greys_NHW.astype(np.float32), side, side)
    return cast(NDArray[np.uint8], np.rint(sums / (height * width)).astype(np.uint8))


def looks(images_NCHW: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """uint8 [N, side, side]: area means of images of 1, 3 or 4 channels, the last of which is alpha over white."""
    found = np.empty((len(images_NCHW), side, side), np.uint8)
    step = at_once(*images_NCHW.shape[2:])
    for start in range(0, len(images_NCHW), step):
        found[start : start + step] = area_means(_greys(images_NCHW[start : start + step]), side)
    return found


def _greys(images_NCHW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    channels = images_NCHW.shape[1]
    if channels == 1:
        return images_NCHW[:, 0]
    whole = images_NCHW.astype(np.uint32)
    if channels == 4:
        alpha = whole[:, 3:]
        whole = (whole[:, :3] * alpha + 255 * (255 - alpha) + 127) // 255
    grey = (whole[:, 0] * RED + whole[:, 1] * GREEN + whole[:, 2] * BLUE + HALF) >> 16
    return grey.astype(np.uint8)


def _areas(greys_NHW: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """[N, rows, columns]: the sums of equal areas, times `rows * columns`."""
    _, height, width = greys_NHW.shape
    return cast(NDArray[np.float32], _overlaps(height, rows) @ greys_NHW @ _overlaps(width, columns).T)


@cache
def _overlaps(pixels: int, areas: int) -> NDArray[np.float32]:
    """[areas, pixels]: how much of each pixel lies in each of `areas` equal stretches, in units of 1/areas pixel."""
    area, pixel = np.arange(areas)[:, None], np.arange(pixels)[None]
    first, last = np.maximum(area * pixels, pixel * areas), np.minimum((area + 1) * pixels, (pixel + 1) * areas)
    overlaps: NDArray[np.float32] = np.maximum(last - first, 0).astype(np.float32)
    return overlaps
