"""Images that this system made itself, as small greys, so that they are known when a source brings them back.

A cache under runs/, one file a batch, made of what the batches' store has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from pipeline.files import replacing

SIDE = 16
ALIKE = 0.08
"""Root mean square of the difference of two images' 16 x 16 area means, as a share of their contrast, up to which they
are taken for one. Of 3,000 MNIST digits none has another one of 70,000 so near, of as many CIFAR-10 photographs none of
60,000 (nearest: .083 and .15); the same image as JPEG of quality 75 or WebP of 80, or scaled by 1.5 to 4, lies nearer
in 99 of 100 cases."""
LEAST = 0.8  # grey levels: what JPEG and rounding change of an image without contrast
BLOCK = 64


@dataclass(frozen=True)
class Generated:
    """names: of batches; batches: int64 [N], of each image its place among them.

    hashes: uint64 [N], the first 8 bytes of each sha256; areas: float32 [N, 256], its area means less 128.
    """

    names: tuple[str, ...]
    batches: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    areas: NDArray[np.float32]

    def __bool__(self) -> bool:
        return bool(self.names)

    def batch_of(self, sha256: str) -> str | None:
        """The batch that has these very bytes."""
        wanted, (ordered, order) = _short(sha256), self._by_hash
        place = int(np.searchsorted(ordered, wanted))
        found = place < len(ordered) and ordered[place] == wanted
        return self.names[self.batches[order[place]]] if found else None

    def like(self, areas_NHW: NDArray[np.uint8]) -> Iterator[tuple[int, str]]:
        """Of images by their area means, those that are near-copies of a generated one, each with its batch."""
        wanted = _centred(areas_NHW)
        means, reach = wanted.mean(1), _reach(wanted)
        ordered, order = self._by_mean
        rows = np.argsort(means, kind="stable")
        for some in (rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK)):
            low, high = np.searchsorted(ordered, [(means - reach)[some].min(), (means + reach)[some].max()])
            near = order[low:high]  # two images are no nearer to each other than their means
            if not len(near):
                continue
            squares = (wanted[some] ** 2).sum(1)[:, None] + (self.areas[near] ** 2).sum(1)
            distances = squares - 2 * (wanted[some] @ self.areas[near].T)
            nearest = distances.argmin(1)
            alike = distances[np.arange(len(some)), nearest] <= wanted.shape[1] * reach[some] ** 2
            for row, place in zip(some[alike], near[nearest[alike]], strict=True):
                yield int(row), self.names[self.batches[place]]

    def nearest(self, areas_HW: NDArray[np.uint8], count: int = 3) -> list[tuple[str, float]]:
        """The batches with the images that are most like this one, and how far these are from it: up to 1,
        they are near-copies."""
        (wanted,) = _centred(areas_HW[None])
        distances = np.sqrt(((self.areas - wanted) ** 2).mean(1)) / _reach(wanted)
        best = np.full(len(self.names), np.inf)
        np.minimum.at(best, self.batches, distances)
        return [(self.names[place], round(float(best[place]), 2)) for place in np.argsort(best)[:count]]

    @cached_property
    def _by_hash(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        order = np.argsort(self.hashes)
        return self.hashes[order], order

    @cached_property
    def _by_mean(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        means = self.areas.mean(1)
        order = np.argsort(means)
        return means[order], order


def noted(folder: Path) -> list[str]:
    """The batches that are known here."""
    return sorted(path.stem for path in folder.glob("*.npz"))


def note(folder: Path, batch: str, hashes: Sequence[str], areas_NHW: NDArray[np.uint8]) -> None:
    """Remember a batch's images: the sha256 of each, and its area means, uint8 [N, 16, 16]."""
    with replacing(folder / f"{batch}.npz") as path, path.open("wb") as file:
        np.savez(file, hashes=np.array([_short(sha256) for sha256 in hashes], np.uint64), areas=areas_NHW)


def read_generated(folder: Path) -> Generated:
    """All that is noted; a file that can't be read is deleted, to be made again."""
    names, hashes, areas = [], [np.zeros(0, np.uint64)], [np.zeros((0, SIDE * SIDE), np.float32)]
    for name in noted(folder):
        try:
            with (folder / f"{name}.npz").open("rb") as file, np.load(file) as found:
                hashes.append(found["hashes"])
                areas.append(_centred(found["areas"]))
                names.append(name)
        except (OSError, ValueError, KeyError, BadZipFile):
            (folder / f"{name}.npz").unlink(missing_ok=True)
    counts = [len(some) for some in hashes[1:]]
    batches = np.repeat(np.arange(len(names)), counts)
    return Generated(tuple(names), batches, np.concatenate(hashes), np.concatenate(areas))


def _short(sha256: str) -> np.uint64:
    return np.uint64(int(sha256[:16], 16))


def _reach(areas: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far from an image, [..., 256], near-copies of it lie."""
    reach: NDArray[np.float32] = np.maximum(ALIKE * areas.std(-1), np.float32(LEAST))
    return reach


def _centred(areas_NHW: NDArray[np.uint8]) -> NDArray[np.float32]:
    centred: NDArray[np.float32] = areas_NHW.reshape(len(areas_NHW), SIDE * SIDE).astype(np.float32) - np.float32(128)
    return centred
