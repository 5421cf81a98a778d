"""Hidden tastes: what a simulated reviewer accepts, told from pixels alone, so that no code under test can see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

INK = 128


def thickness(images_N1HW: Images) -> Floats:
    """Pixels: twice the ink over the length of its outline, counted in edges between ink and paper."""
    ink = np.pad(images_N1HW[:, 0] >= INK, ((0, 0), (1, 1), (1, 1)))
    outline = (ink[:, 1:] != ink[:, :-1]).sum((1, 2)) + (ink[:, :, 1:] != ink[:, :, :-1]).sum((1, 2))
    return 2.0 * ink.sum((1, 2)) / np.maximum(outline, 1)


def slant(images_N1HW: Images) -> Floats:
    """Shear of the ink by its second moments: columns to the right for each row up."""
    weight = images_N1HW[:, 0].astype(np.float64)
    rows, columns = np.mgrid[: weight.shape[1], : weight.shape[2]]
    total = np.maximum(weight.sum((1, 2)), 1e-9)
    row, column = ((weight * axis).sum((1, 2)) / total for axis in (rows, columns))
    down, across = rows - row[:, None, None], columns - column[:, None, None]
    return -(weight * down * across).sum((1, 2)) / np.maximum((weight * down**2).sum((1, 2)), 1e-9)


@dataclass(frozen=True)
class Taste:
    """score: of images and labels; what is above `least`, float64 by class, is liked."""

    name: str
    score: Callable[[Images, Integers], Floats]
    least: Floats

    def likes(self, images: Images, labels: Integers) -> Flags:
        return self.score(images, labels) > self.least[labels]


def tastes(images: Images, labels: Integers, classes: int) -> dict[str, Taste]:
    """Fitted to base samples, so that about 30% of them are liked.

    thick: strokes thicker than 70%. slanted: of each class what leans to the right more than 70%. mixed: most of three
    classes where thick, a little of three where slanted, nothing of the others. crossed: of even classes the thick, of
    odd ones the thin.
    """

    def by_class(score: Floats, shares: NDArray[np.float64]) -> Floats:
        found = np.full(classes, np.inf)
        for label in range(classes):
            if shares[label] > 0 and (labels == label).any():
                found[label] = np.quantile(score[labels == label], 1 - shares[label])
        return found

    def thick(some: Images, _: Integers) -> Floats:
        return thickness(some)

    def leaning(some: Images, _: Integers) -> Floats:
        return slant(some)

    def mixed(some: Images, of: Integers) -> Floats:
        return np.where(of < 3, thickness(some), slant(some))

    def crossed(some: Images, of: Integers) -> Floats:
        return np.where(of % 2 == 0, 1.0, -1.0) * thickness(some)

    liked = np.zeros(classes)
    liked[:3], liked[3:6] = 0.8, 0.2
    everywhere = np.full(classes, 0.3)
    return {
        "thick": Taste("thick", thick, np.full(classes, np.quantile(thickness(images), 0.7))),
        "slanted": Taste("slanted", leaning, by_class(slant(images), everywhere)),
        "mixed": Taste("mixed", mixed, by_class(mixed(images, labels), liked)),
        "crossed": Taste("crossed", crossed, by_class(crossed(images, labels), everywhere)),
    }
