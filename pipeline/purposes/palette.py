"""Colours of a piece that suit its image, where the template names none."""

from __future__ import annotations

import colorsys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.purposes.contrast import Colour

HUES = 24
GREY = 0.06  # mean chroma below which an image has no colour of its own
SLATE = (44, 52, 64)


class Palette(NamedTuple):
    """paper: behind text; ink: of text; accent: of the button."""

    paper: Colour
    ink: Colour
    accent: Colour


def palette_of(pixels_HW3: NDArray[np.uint8]) -> Palette:
    """A pale tint, a dark shade and a strong tone of the hue that the image has most of; greys for a grey image."""
    values = pixels_HW3.reshape(-1, 3) / 255
    chroma = values.max(1) - values.min(1)
    weights = chroma * values.max(1)
    if chroma.mean() < GREY:
        return Palette((244, 245, 247), (24, 28, 34), SLATE)
    bins = (_hues(values, chroma) * HUES).astype(int) % HUES
    of_bins = np.bincount(bins, weights, HUES)
    mass = of_bins + (np.roll(of_bins, 1) + np.roll(of_bins, -1)) / 2
    hue = (int(mass.argmax()) + 0.5) / HUES
    return Palette(_colour(hue, 0.955, 0.35), _colour(hue, 0.11, 0.35), _colour(hue, 0.38, 0.62))


def _hues(values_N3: NDArray[np.float64], chroma_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] in 0 to 1 (the hue of HSV)."""
    red, green, blue = values_N3.T
    safe = np.maximum(chroma_N, 1e-9)
    sixths = np.select(
        [values_N3.argmax(1) == 0, values_N3.argmax(1) == 1],
        [(green - blue) / safe % 6, (blue - red) / safe + 2],
        (red - green) / safe + 4,
    )
    found: NDArray[np.float64] = sixths / 6 % 1
    return found


def _colour(hue: float, lightness: float, saturation: float) -> Colour:
    red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(hue, lightness, saturation))
    return red, green, blue
