"""Variations of a chosen item: near ones and far ones, ways to other items, other classes; as recipes and as a sheet.

A recipe is a row that an item is made from. Its latent lies on the sphere between two seeds' latents, its class between
two classes' embeddings; with shares of 0 it is a plain item of a batch. Variations of a variation go on from where it
stands: their recipes share the way that leads there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.model.noise import item_seeds
from pipeline.model.recipe import Recipes, Turn, joined

NEAR, FARTHER, FAR = 0.15, 0.35, 0.6  # shares of the way to another item
APART = 1 << 62  # numbers of no batch's items: toward itself, where the seeds of both orders are one, there is no way
DIRECTIONS = 64  # room for those of one sheet; that of a variation goes others than the one it was chosen from
ROWS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class SheetPlan:
    """recipes: the chosen item, then the rows one after another, each `columns` long. captions: of the rows."""

    recipes: Recipes
    captions: tuple[str, ...]
    columns: int

    def index_of(self, cell: str) -> int:
        """Where in `recipes` the cell stands that a person named by its row and column, such as B3.

        Raises ValueError for one that is not on the sheet.
        """
        row, column = ROWS.find(cell[:1].upper()), cell[1:]
        if len(cell) < 2 or row < 0 or row >= len(self.captions) or not column.isdecimal() or len(column) > 3:
            raise ValueError(f"{cell[:20]!r} is no cell of rows A to {ROWS[len(self.captions) - 1]}")
        if not 1 <= int(column) <= self.columns:
            raise ValueError(f"column {column} of {self.columns}")
        return 1 + row * self.columns + int(column) - 1


def perturbations(
    label: int, seed: int, strengths: Sequence[float], per_strength: int, batch_seed: int, first: int = 0
) -> Recipes:
    """Strength by strength, the same `per_strength` directions in each, so that a column goes further one way.

    strengths: shares of the way to a fresh item, 0 to 1. batch_seed: which directions; first: of them the first.
    """
    _check_shares(strengths)
    toward = np.tile(item_seeds(batch_seed, first + np.arange(per_strength, dtype=np.int64)), len(strengths))
    shares = np.repeat(np.asarray(strengths, np.float32), per_strength)
    return _recipes(label, seed, label, toward, shares, np.zeros(len(shares), np.float32))


def walk(label: int, seed: int, to_seed: int, steps: int) -> Recipes:
    """Even steps from one item to another, both included."""
    shares = np.linspace(0, 1, steps, dtype=np.float32)
    return _recipes(label, seed, label, np.full(steps, to_seed, np.int64), shares, np.zeros(steps, np.float32))


def classes(label: int, seed: int, other_labels: Sequence[int], steps: int) -> Recipes:
    """For each other class, even steps to it with the same latent; the last is all of that class."""
    shares = np.tile(np.arange(1, steps + 1, dtype=np.float32) / np.float32(max(1, steps)), len(other_labels))
    toward = np.repeat(np.asarray(other_labels, np.int64), steps)
    count = len(toward)
    return _recipes(label, seed, toward, np.full(count, seed, np.int64), np.zeros(count, np.float32), shares)


def sheet(
    label: int,
    seed: int,
    batch_seed: int,
    other_labels: Sequence[int] = (),
    names: Sequence[str] = (),
    columns: int = 8,
    way: tuple[Turn, ...] = (),
) -> SheetPlan:
    """The chosen item; rows of near, farther and far ones; a walk to an item far off; a row for each other class.

    names: of the classes, by label. way: from the seed's item to the chosen one. At most 26 rows: one a letter. Raises
    ValueError for more, or no columns.
    """
    if columns < 1 or len(other_labels) > len(ROWS) - 4:
        raise ValueError(f"{columns} columns, {len(other_labels)} other classes: at least 1, at most {len(ROWS) - 4}")
    chosen = walk(label, seed, seed, 1)
    first = APART + DIRECTIONS * len(way)
    around = perturbations(label, seed, (NEAR, FARTHER, FAR), columns, batch_seed, first)
    to_seed = int(item_seeds(batch_seed, np.array([first + columns], np.int64))[0])
    far_off = _way_to(label, seed, to_seed, columns)
    others = classes(label, seed, other_labels, columns)
    told = [names[other] if 0 <= other < len(names) else f"class {other}" for other in other_labels]
    captions = ("near", "farther", "far", "on the way to another", *(f"toward {name}" for name in told))
    return SheetPlan(replace(joined(chosen, around, far_off, others), way=way), captions, columns)


def mostly(label: int, way: Sequence[Turn]) -> int:
    """The class that an item comes nearest to at the end of its way."""
    for turn in way:
        label = turn.label if turn.label_share >= 0.5 else label
    return label


def _way_to(label: int, seed: int, to_seed: int, steps: int) -> Recipes:
    """Even steps to another item, without the first, which is the chosen one."""
    whole = walk(label, seed, to_seed, steps + 1)
    return whole[1:]


def _recipes(
    label: int,
    seed: int,
    toward_labels: int | NDArray[np.int64],
    toward_seeds: NDArray[np.int64],
    shares: NDArray[np.float32],
    label_shares: NDArray[np.float32],
) -> Recipes:
    count = len(shares)
    toward = np.broadcast_to(np.asarray(toward_labels, np.int64), (count,)).copy()
    own = (np.full(count, label, np.int64), np.full(count, seed, np.int64))
    return Recipes(*own, toward, toward_seeds, shares, label_shares)


def _check_shares(shares: Sequence[float]) -> None:
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"{list(shares)[:10]} are not shares of 0 to 1")
