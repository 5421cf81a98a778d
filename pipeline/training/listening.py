"""What a training hears of the lessons: those that its settings ask for, and that fit its shards and networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline.errors import GenloopError
from pipeline.lessons import Lessons, weights_of
from pipeline.model.networks import Discriminator, Generator, Shape
from pipeline.settings import Train
from pipeline.start import Start, Weights
from pipeline.training.state import TrainingState
from pipeline.values import Shards

NEW = ("start", "tuning", "feedback")  # settings that are in a run's key only where something is heard
WARM_UP = 0.05  # share of the budget in which the rate rises, where a training goes on from another

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Rejected:
    """Rejected items, in the order of their classes, to stand among a batch's generated images.

    With a share s of them, what is generated goes to (data - s * rejected) / (1 - s) and not to the data: the two
    together are then as the data (negatives as in Sinha et al. 2021). A generator that has forgotten a kind need not
    find it again, so that it may come to less of the rejected than that.
    """

    images: NDArray[np.uint8]
    first: Integers  # row of each class's first
    counts: Integers
    share: float
    seed: int

    def among(self, step: int, labels: Integers, batch: int, part: slice) -> tuple[Tensor, Tensor]:
        """int64 [M] and uint8 [M, C, S, S]: places in this part of the step's batch, and images of the labels there.

        Nothing but seed and step decides them. A class of which nothing was rejected has none.
        """
        key = np.array([self.seed, 2**63 + step], np.uint64)  # as a list it would be floats, the same for every step
        random = np.random.Generator(np.random.Philox(key=key))
        chance, which = random.random((2, batch))[:, part]
        places = np.flatnonzero((chance < self.share) & (self.counts[labels] > 0))
        of = labels[places]
        rows = self.first[of] + (which[places] * self.counts[of]).astype(np.int64)
        return torch.from_numpy(places), torch.from_numpy(self.images[rows])


@dataclass(frozen=True)
class Heard:
    """train_weights float64 [N], holdout_weights [H]: how often images are served. key: what of it all decides the
    weights of the networks, empty where nothing is heard. passed_over: what was asked for and is not heard, and why.
    """

    train_weights: NDArray[np.float64] | None = None
    holdout_weights: NDArray[np.float64] | None = None
    rejected: Rejected | None = None
    start: Start | None = None
    key: dict[str, Any] = field(default_factory=dict)
    passed_over: tuple[str, ...] = ()


def hear(settings: Train, lessons: Lessons, meta: Shards, shape: Shape) -> Heard:
    """Raises GenloopError where lessons that are told to be of these shards are of other sizes."""
    asked = settings.feedback
    against = {
        "no image weighs more than another": _not_of(lessons, meta) if asked.steer else None,
        "no rejected items among what is generated": _not_like(lessons, meta) if asked.negatives else None,
        "trained from scratch": _not_from(lessons.champion, meta, shape) if settings.start == "champion" else None,
    }
    steers, negates, starts = (why == "" for why in against.values())
    passed_over = tuple(f"{what}: {why}" for what, why in against.items() if why)
    if not (steers or negates or starts):
        return Heard(passed_over=passed_over)
    told = settings.model_dump(include=set(NEW))
    return Heard(
        weights_of(lessons.train_chances, asked.steer) if steers else None,
        weights_of(lessons.holdout_chances, asked.steer) if steers else None,
        _rejected(settings, lessons, shape.classes) if negates else None,
        lessons.champion if starts else None,
        {"lessons": lessons.id, "heard": [steers, negates, starts], **told},
        passed_over,
    )


def begin(state: TrainingState, start: Start) -> None:
    """Put the networks of `start` into a fresh state; the average begins with the generator, and is itself soon."""
    _load(state.generator, start.generator)
    _load(state.average, start.generator)
    _load(state.discriminator, start.discriminator)
    state.overfitting.p = start.augment


def start_of(state: TrainingState, classes: tuple[str, ...]) -> Start:
    """The state as one that another training may begin from."""
    p, seen = state.overfitting.p, state.images_seen
    return Start(_weights(state.generator), _weights(state.discriminator), classes, p, seen)


def _weights(net: nn.Module) -> Weights:
    return {name: tensor.detach().cpu().numpy() for name, tensor in net.state_dict().items()}


def _load(net: nn.Module, weights: Weights) -> None:
    net.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})


def _rejected(settings: Train, lessons: Lessons, classes: int) -> Rejected:
    order, counts = np.argsort(lessons.labels, kind="stable"), np.bincount(lessons.labels, minlength=classes)
    first = np.cumsum(counts) - counts
    return Rejected(lessons.rejected[order], first, counts, settings.feedback.negatives, settings.seed)


def _not_of(lessons: Lessons, meta: Shards) -> str:
    """Why its chances can't be taken for these shards', or nothing."""
    sizes, wanted = (len(lessons.train_chances), len(lessons.holdout_chances)), (meta.train_items, meta.holdout_items)
    if not any(sizes):
        return "nothing is known of what people like"
    if lessons.shards != meta.id:
        return "the lessons are of other shards"
    if sizes != wanted:
        raise GenloopError(
            f"chances of {sizes[0]:,} and {sizes[1]:,} images, and not of {wanted[0]:,} and {wanted[1]:,}",
            where=str(lessons.folder or "lessons"),
            remedy="delete the folder: it is written anew",
        )
    return ""


def _not_like(lessons: Lessons, meta: Shards) -> str:
    """Why its rejected items can't stand beside these shards' images, or nothing."""
    if not len(lessons.rejected):
        return "nothing was rejected"
    if lessons.rejected.shape[1:] != (meta.channels, meta.size, meta.size):
        return "they are of another size or other channels"
    return "" if lessons.classes == meta.classes else "the classes have changed"


def _not_from(champion: Start | None, meta: Shards, shape: Shape) -> str:
    """Why a training can't begin from it, or nothing."""
    if champion is None:
        return "there are no networks of the champion"
    if champion.classes != meta.classes:
        return "the champion has other classes"
    with torch.device("meta"):
        fresh = Generator(shape).state_dict(), Discriminator(shape).state_dict()
    for net, weights in zip(fresh, (champion.generator, champion.discriminator), strict=True):
        if {name: tuple(tensor.shape) for name, tensor in net.items()} != {n: w.shape for n, w in weights.items()}:
            return "the champion's networks are of another shape"
    return ""
