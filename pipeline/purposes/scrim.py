"""A shade between an image and the words that stand on it: as thin as it may be, as thick as it must be."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from pipeline.purposes.contrast import BLACK, WHITE, Colour, distinct, least_ratio, luminance, readable_on
from pipeline.purposes.text import Mark

STEPS = 20
BRIGHT = 0.4  # mean luminance above which a light shade spoils less; dark ones wash out what is between
FADE = 0.35  # of the shaded height: over how much it sets in above the words
GROUNDS = {WHITE: BLACK, BLACK: WHITE}


def lay_scrim(
    canvas: NDArray[np.uint8], top: int, texts: list[Mark], enough: float, ink: Colour | None, least: float
) -> tuple[Colour, float]:
    """Shade the canvas, uint8 [H, W, 3], from `top` down; the ink for it, and how dense the shade is, `least` to 1.

    ink: None where it is free: then white, or black on what is bright. At density 1 the ground is black or white,
    whichever the ink stands out from more, so that any ink is read.
    """
    fade = _fade(canvas.shape[0], top)
    behind = np.concatenate([mark.around(canvas) for mark in texts])
    shares = np.concatenate([np.broadcast_to(_rows(fade, mark), mark.near.shape)[mark.near] for mark in texts])
    coarse = (shares * 255).astype(np.uint8)  # rounded down: the shade that is laid is never less than the one judged
    where = distinct(np.column_stack([behind, coarse]))
    colours, least_shares = behind[where], coarse[where, None] / 255
    densities = [least + (1 - least) * step / STEPS for step in range(STEPS + 1)]

    def ratio(density: float, tried: Colour) -> float:
        return least_ratio(tried, _mixed(colours, least_shares * density, _ground_for(tried)))

    free = BLACK if luminance(behind).mean() > BRIGHT else WHITE
    chosen = free if ink is None else ink
    # More shade takes every pixel further from white or black ink, so that halving finds the least that is enough; for
    # an ink between, it finds one that is enough.
    first = bisect_left(densities, enough, key=lambda density: ratio(density, chosen))
    density = densities[min(first, STEPS)]
    canvas[:] = _mixed(canvas, (fade * density)[:, None, None], _ground_for(chosen))
    return chosen, round(density, 3)


def _ground_for(ink: Colour) -> Colour:
    return GROUNDS.get(ink) or readable_on(ink)


def _rows(fade: NDArray[np.float64], mark: Mark) -> NDArray[np.float64]:
    return fade[mark.box.top : mark.box.bottom, None]


def _fade(height: int, top: int) -> NDArray[np.float64]:
    """[H]: 0 above, rising smoothly to 1 a little above `top`, 1 below."""
    reach = max(1.0, (height - top) * FADE)
    share = np.clip((np.arange(height) - (top - 1.2 * reach)) / reach, 0, 1)
    found: NDArray[np.float64] = share * share * (3 - 2 * share)
    return found


def _mixed(pixels: NDArray[np.uint8], share: NDArray[np.float64], ground: Colour) -> NDArray[np.uint8]:
    return np.rint(pixels * (1 - share) + np.array(ground) * share).astype(np.uint8)
