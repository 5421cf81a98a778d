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

from pipeline.alike import SIDE, Areas, Looks
from pipeline.files import replacing


@dataclass(frozen=True)
class Generated:
    """names: of batches; batches: int64 [N], of each image its place among them.

    hashes: uint64 [N], the first 8 bytes of each sha256; looks: of the N images.
    """

    names: tuple[str, ...]
    batches: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    looks: Looks

    def __bool__(self) -> bool:
        return bool(self.names)

    def batch_of(self, sha256: str) -> str | None:
        """The batch that has these very bytes."""
        wanted, (ordered, order) = _short(sha256), self._by_hash
        place = int(np.searchsorted(ordered, wanted))
        found = place < len(ordered) and ordered[place] == wanted
        return self.names[self.batches[order[place]]] if found else None

    def like(self, areas: Areas) -> Iterator[tuple[int, str]]:
        """Of images by their area means, those that are near-copies of a generated one, each with its batch."""
        for row, place in enumerate(self.looks.alike(areas)):
            if place >= 0:
                yield row, self.names[self.batches[place]]

    def nearest(self, areas: Areas, count: int = 3) -> list[tuple[str, float]]:
        """The batches with the images that are most like this one, [1, 16, 16], and how far these are from it: up to
        1, they are near-copies."""
        best = np.full(len(self.names), np.inf)
        np.minimum.at(best, self.batches, self.looks.distances(areas))
        return [(self.names[place], round(float(best[place]), 2)) for place in np.argsort(best)[:count]]

    @cached_property
    def _by_hash(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        order = np.argsort(self.hashes)
        return self.hashes[order], order


def noted(folder: Path) -> list[str]:
    """The batches that are known here."""
    return sorted(path.stem for path in folder.glob("*.npz"))


def note(folder: Path, batch: str, hashes: Sequence[str], areas: Areas) -> None:
    """Remember a batch's images: the sha256 of each, and its area means, uint8 [N, 16, 16]."""
    with replacing(folder / f"{batch}.npz") as path, path.open("wb") as file:
        np.savez(file, hashes=np.array([_short(sha256) for sha256 in hashes], np.uint64), areas=areas)


def read_generated(folder: Path) -> Generated:
    """All that is noted; a file that can't be read is deleted, to be made again."""
    names, hashes, areas = [], [np.zeros(0, np.uint64)], [np.zeros((0, SIDE, SIDE), np.uint8)]
    for name in noted(folder):
        try:
            with (folder / f"{name}.npz").open("rb") as file, np.load(file) as found:
                hashes.append(found["hashes"])
                areas.append(found["areas"].reshape(-1, SIDE, SIDE))
                names.append(name)
        except (OSError, ValueError, KeyError, BadZipFile):
            (folder / f"{name}.npz").unlink(missing_ok=True)
    counts = [len(some) for some in hashes[1:]]
    batches = np.repeat(np.arange(len(names)), counts)
    return Generated(tuple(names), batches, np.concatenate(hashes), Looks(np.concatenate(areas)))


def _short(sha256: str) -> np.uint64:
    return np.uint64(int(sha256[:16], 16))
