"""Near-copies by sight: images whose small greys differ by no more than encoding and scaling change them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 16
ALIKE = 0.08
"""Root mean square of the difference of two images' 16 x 16 area means, as a share of their contrast, up to which they
are taken for one. Of 3,000 MNIST digits none has another one of 70,000 so near, of as many CIFAR-10 photographs none of
60,000 (nearest: .083 and .15); the same image as JPEG of quality 75 or WebP of 80, or scaled by 1.5 to 4, lies nearer
in 99 of 100 cases."""
LEAST = 0.8  # grey levels: what JPEG and rounding change of an image without contrast
AXES, FITTED = 12, 10_000  # of how many rows the axes are found
BLOCK, FEW = 1000, 64
NEAREST = 16  # on the axes, of which the nearest in full is taken
ROUNDING = 1.0001
WIDEST = 1.1 * ROUNDING
"""An image within reach of another by the contrast of the one lies within this much more of the other's: contrasts of
near-copies differ by no more than ALIKE, or LEAST."""

Areas = NDArray[np.uint8]  # [N, 16, 16], mean brightness of equal areas
Floats = NDArray[np.float32]


class Looks:
    """N images by how they look, to be searched.

    On a few orthogonal axes no two are farther apart than they are in full: what lies near there is compared in full.
    """

    def __init__(self, areas: Areas) -> None:
        self._areas = _flat(areas)

    def __len__(self) -> int:
        return len(self._areas)

    def alike(self, areas: Areas) -> NDArray[np.int64]:
        """int64 [M]: of each of M images the row here of the nearest near-copy of it, -1 where there is none."""
        found = np.full(len(areas), -1)
        for start in range(0, len(areas) if len(self) else 0, BLOCK):
            wanted = _centred(_flat(areas[start : start + BLOCK]))
            radii = _radii(wanted)
            _, rows = self._tree.query(wanted @ self._axes, NEAREST, distance_upper_bound=radii.max() * ROUNDING)
            rows[rows == len(self)] = -1  # that many are not so near
            distances = _norms(_centred(self._areas[rows]) - wanted[:, None])
            distances[(rows < 0) | (distances > radii[:, None])] = np.inf
            best = distances.argmin(1)[:, None]
            near = np.isfinite(np.take_along_axis(distances, best, 1))
            found[start : start + BLOCK] = np.where(near, np.take_along_axis(rows, best, 1), -1)[:, 0]
        return found

    def repeats(self) -> NDArray[np.bool_]:
        """bool [N]: whether an image is a near-copy of one before it that is itself none."""
        repeats = np.zeros(len(self), bool)
        for start in range(0, len(self) if len(self) > 1 else 0, FEW):
            rows = start + np.flatnonzero(~repeats[start : start + FEW])
            points = _centred(self._areas[rows])
            radii = _radii(points) * WIDEST
            for row, point, near in zip(
                rows, points, self._tree.query_ball_point(points @ self._axes, radii), strict=True
            ):
                later = np.array([place for place in near if place > row], int)
                if len(later) and not repeats[row]:
                    others = _centred(self._areas[later])
                    repeats[later[_norms(others - point) <= _radii(others)]] = True
        return repeats

    def distances(self, areas: Areas) -> Floats:
        """float32 [N]: how far each is from one image, [1, 16, 16]; up to 1, it is a near-copy."""
        wanted = _centred(_flat(areas))
        found = np.empty(len(self), np.float32)
        for start in range(0, len(self), BLOCK):
            found[start : start + BLOCK] = _norms(_centred(self._areas[start : start + BLOCK]) - wanted)
        return found / _radii(wanted)

    @cached_property
    def _axes(self) -> Floats:
        """float32 [256, AXES]: those along which the images vary most."""
        some = _centred(self._areas[:: -(-len(self) // FITTED)])
        spread = np.cov(some, rowvar=False) if len(some) > 1 else np.eye(SIDE * SIDE)
        axes: Floats = np.linalg.eigh(spread)[1][:, -AXES:].astype(np.float32)
        return axes

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        points = np.empty((len(self), AXES), np.float32)
        for start in range(0, len(self), BLOCK):
            points[start : start + BLOCK] = _centred(self._areas[start : start + BLOCK]) @ self._axes
        return cKDTree(points)


def _flat(areas: Areas) -> Areas:
    return areas.reshape(len(areas), SIDE * SIDE)


def _centred(areas: Areas) -> Floats:
    """float32 [..., 256] around 0, for less rounding."""
    centred: Floats = areas.astype(np.float32) - np.float32(128)
    return centred


def _radii(centred_ND: Floats) -> Floats:
    """How far from an image, as the length of the difference, near-copies of it lie."""
    radii: Floats = SIDE * np.maximum(ALIKE * centred_ND.std(-1), np.float32(LEAST))
    return radii


def _norms(differences_ND: Floats) -> Floats:
    norms: Floats = np.linalg.norm(differences_ND, axis=-1)
    return norms
