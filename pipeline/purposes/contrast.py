"""Contrast as WCAG 2.2 defines it, measured on the pixels that lie behind, and colours moved until it is enough."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
TEXT, LARGE_TEXT, SHAPE = 4.5, 3.0, 3.0  # success criteria 1.4.3 and 1.4.11
LARGE_PX, LARGE_BOLD_PX = 24.0, 56 / 3  # 18 and 14 points in CSS px
STEPS = 20


@cache
def _linear() -> NDArray[np.float64]:
    """[256]: the light of each sRGB level, 0 to 1 (WCAG 2.2, "relative luminance")."""
    share = np.arange(256) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def luminance(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[...] in 0 to 1, of uint8 [..., 3]."""
    found: NDArray[np.float64] = _linear()[colours] @ np.array([0.2126, 0.7152, 0.0722])
    return found


def least_ratio(colour: Colour, behind_N3: NDArray[np.uint8]) -> float:
    """1 to 21: the contrast ratio of a colour to the one of these pixels that it stands out from least."""
    own = float(luminance(np.array(colour, np.uint8)))
    others = luminance(behind_N3)
    ratios = (np.maximum(own, others) + 0.05) / (np.minimum(own, others) + 0.05)
    return float(ratios.min(initial=21.0))


def needed(size_css_px: float, bold: bool) -> float:
    """The ratio that text of this size needs."""
    return LARGE_TEXT if size_css_px >= (LARGE_BOLD_PX if bold else LARGE_PX) else TEXT


def distinct(values_NK: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The first row of each that occurs among rows of K bytes, K at most 4; ten times as fast as np.unique by rows."""
    codes = np.zeros(len(values_NK), np.uint32)
    for column in values_NK.T:
        codes = codes << np.uint32(8) | column
    return np.unique(codes, return_index=True)[1]


def readable_on(behind: Colour) -> Colour:
    """Black or white, whichever stands out more: always at least 21 ** 0.5, which is above TEXT."""
    pixels = np.array([behind], np.uint8)
    return max(BLACK, WHITE, key=lambda colour: least_ratio(colour, pixels))


def adapted(colour: Colour, behind_N3: NDArray[np.uint8], enough: float) -> Colour:
    """The colour nearest to `colour` on its way to black or to white that stands out from all these pixels.

    Where none does (they are both dark and light), the one of all tried that comes nearest to it.
    """
    best, most = colour, 0.0
    for step in range(STEPS + 1):
        for end in (BLACK, WHITE):
            tried = mixed(colour, end, step / STEPS)
            found = least_ratio(tried, behind_N3)
            if found >= enough:
                return tried
            if found > most:
                best, most = tried, found
    return best


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """`a` at share 0, `b` at 1, in sRGB levels."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue
