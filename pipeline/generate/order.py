"""An order: what a batch is made of, and what each part of it is to hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.errors import ParamsError
from pipeline.feedback_params import Adapting
from pipeline.files import sha256_json
from pipeline.model.noise import item_seeds
from pipeline.model.recipe import Turn
from pipeline.orders import BatchOrder, Catalogue, Mix, Variations
from pipeline.values import ModelVersion, Value

PART_SHIFT = 32  # the candidates of a part are numbered from part << 32
GOLDEN = 0.618  # neighbours fall far apart
Integers = NDArray[np.int64]


class Order(Value):
    """An order of params.yaml, by one model. `weights` are shares of the classes, in the bundle's order.

    period: the stretch of time that it is for, or empty. screen: the id of what candidates are held against, or empty.
    code: hashes of what the user's own functions and files are. around: class and seed of the item that variations are
    of; way: from there, where it is a variation itself. segments: that a catalogue is for. preference: the id of the
    model of what people like that items are taken by, as adapting says, or empty; control: the share of each class's
    places that are taken without it, or empty. canary: whether it is the part of an order that the old champion still
    makes. The id is a hash of all of it; what is younger than the first batches is
    left out where it is empty, so that they keep theirs.
    """

    name: str
    period: str
    model: str
    version: int
    bundle: str
    snapshot: str
    screen: str
    code: dict[str, str]
    classes: tuple[str, ...]
    weights: tuple[float, ...]
    asked: BatchOrder
    around: tuple[int, int] | None = None
    way: tuple[Turn, ...] = Field((), exclude_if=lambda way: not way)
    segments: dict[str, dict[str, float]] = {}
    preference: Annotated[str, Field(exclude_if=lambda preference: not preference)] = ""
    adapting: Annotated[Adapting | None, Field(exclude_if=lambda adapting: adapting is None)] = None
    control: Annotated[tuple[float, ...], Field(exclude_if=lambda control: not control)] = ()
    canary: Annotated[bool, Field(exclude_if=lambda canary: not canary)] = False

    @cached_property
    def id(self) -> str:
        return sha256_json(self.model_dump(exclude={"asked": {"preferred"}}))[:16]

    @property
    def candidates(self) -> float:
        """Made for each item that is wanted."""
        return max(self.asked.candidates, self.adapting.candidates) if self.adapting else self.asked.candidates

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("id", None)  # of another order
        return copy

    @property
    def parts(self) -> int:
        return -(-self.asked.count // self.asked.part_items)

    @property
    def seed(self) -> int:
        """Of the batch: of each period another one."""
        if not self.period:
            return self.asked.seed
        return int.from_bytes(hashlib.sha256(f"{self.asked.seed} {self.period}".encode()).digest()[:7])

    @property
    def home(self) -> str:
        """The prefix of all its objects."""
        return f"{self.asked.prefix}/{self.id}"


def make_order(
    name: str,
    asked: BatchOrder,
    period: str,
    model: ModelVersion,
    classes: tuple[str, ...],
    snapshot: str,
    screen: str,
    code: dict[str, str],
    segments: dict[str, Mix] | None = None,
    around: tuple[int, int] | None = None,
    way: tuple[Turn, ...] = (),
) -> Order:
    """segments: of params.yaml. around, way: to the item that variations are of, which count themselves.

    Raises ParamsError for a segment that is not there, a class of the mix that the model does not know, or a mix of
    nothing.
    """
    where, known = f"batches.{name}", segments or {}
    if asked.segment and asked.segment not in known:
        raise ParamsError(f"no segment {asked.segment!r}", where=where, remedy=f"there are {sorted(known)[:20]}")
    mix = known[asked.segment] if asked.segment else asked.mix
    if unknown := sorted(set(mix) - set(classes)):
        raise ParamsError(f"mix names {unknown}", where=where, remedy=f"the model's classes are {list(classes)[:20]}")
    raw = [mix.get(name, 0.0) if mix else 1.0 for name in classes] or [1.0]
    if sum(raw) <= 0:
        raise ParamsError("mix gives every class weight 0", where=where, remedy="give one a weight above 0")
    return Order(
        name=name,
        period=period,
        model=model.name,
        version=model.version,
        bundle=model.bundle,
        snapshot=snapshot,
        screen=screen,
        code=code,
        classes=classes,
        weights=tuple(weight / sum(raw) for weight in raw),
        asked=asked if around is None else asked.model_copy(update={"count": _cells(asked, len(classes))}),
        around=around,
        way=way,
        segments=known if isinstance(asked.purpose, Catalogue) else {},
    )


@dataclass(frozen=True)
class Slots:
    """The places of a part that are to be filled: index and label, int64 [N]; and the candidates for them, [M].

    own: whether each candidate is for one place only, so that M is N; else for any of its class.
    """

    index: Integers
    labels: Integers
    candidate_labels: Integers
    candidate_seeds: Integers
    own: bool = False


def slots(order: Order, part: int) -> Slots:
    """The mix is met to within an item. Candidates come class by class, `candidates` times as many as places."""
    asked = order.asked
    index = np.arange(part * asked.part_items, min((part + 1) * asked.part_items, asked.count), dtype=np.int64)
    labels = _labels(order, index)
    classes, counts = np.unique(labels, return_counts=True)
    candidates = classes.repeat(np.ceil(counts * order.candidates).astype(np.int64))
    numbers = np.arange(len(candidates), dtype=np.int64) + (part << PART_SHIFT)
    return Slots(index, labels, candidates, item_seeds(order.seed, numbers))


def wanted(order: Order) -> dict[int, int]:
    """Items of each class that are asked for; classes without any are left out."""
    if order.around is not None:
        return {order.around[0]: order.asked.count}
    ends = np.ceil(np.cumsum(order.weights) * order.asked.count - 0.5).clip(0, order.asked.count)
    ends[-1] = order.asked.count
    return {label: int(count) for label, count in enumerate(np.diff(ends, prepend=0)) if count > 0}


def filled(places: Slots, good: NDArray[np.bool_]) -> Integers:
    """int64 [N]: of each place the row of the candidate that takes it, in order, -1 where none is left.

    good [M]: whether a candidate may be taken.
    """
    if places.own:
        return np.where(good, np.arange(len(good)), -1)
    taken = np.full(len(places.index), -1)
    for label in np.unique(places.labels):
        rows = np.flatnonzero(good & (places.candidate_labels == label))
        free = np.flatnonzero(places.labels == label)
        taken[free[: len(rows)]] = rows[: len(free)]
    return taken


def _cells(asked: BatchOrder, classes: int) -> int:
    """Of a sheet: the item itself, four rows around it, and one toward each other class."""
    assert isinstance(asked.purpose, Variations)
    others = min(asked.purpose.others, max(0, classes - 1))
    return 1 + asked.purpose.columns * (4 + others)


def _labels(order: Order, index: Integers) -> Integers:
    """Strides that meet every place once, so that each part has its share of every class."""
    count = order.asked.count
    stride = next(step for step in range(max(1, round(count * GOLDEN)), count + 2) if gcd(step, count) == 1)
    edges = np.cumsum(order.weights) * count
    labels = np.searchsorted(edges, index * stride % count + 0.5, side="right").clip(0, len(order.weights) - 1)
    return labels.astype(np.int64)
