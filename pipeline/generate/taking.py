"""Which candidate takes which place: the first that are good, or by what people liked before, with known odds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.generate.filters import Verdicts
from pipeline.generate.order import Order, Slots, filled
from pipeline.preference.choice import taken
from pipeline.preference.model import Preference
from pipeline.preference.sights import seen

CANARY, CONTROL, PREFERRED = "canary", "control", "preferred"

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Taken:
    """rows: int64 [N], of each place the row of its candidate, -1 where none is left. columns: what is told of each
    candidate [M] beside: how it was taken, with which odds, and what the preference model said of it."""

    rows: Integers
    columns: dict[str, NDArray[Any]]


def take(order: Order, places: Slots, verdicts: Verdicts, preference: Preference | None, seed: int) -> Taken:
    """verdicts: on the candidates. seed: of the part."""
    good = verdicts.good
    if preference is None or order.adapting is None or verdicts.features is None or places.own:
        arms = {"arm": np.full(len(good), CANARY, object)} if order.canary else {}
        return Taken(filled(places, good), arms)
    features = seen(verdicts.features, verdicts.areas)
    labels = preference.labels(order.classes or ("",))[places.candidate_labels]
    chance, doubt = preference.predict(features, labels, preference.segment(order.asked.segment))
    odds, arm = np.full(len(good), np.nan), np.full(len(good), CANARY if order.canary else PREFERRED, object)
    rows = np.full(len(places.index), -1, np.int64)
    for label in np.unique(places.labels):
        free = np.flatnonzero(places.labels == label)
        able = np.flatnonzero(good & (places.candidate_labels == label))
        draw = int.from_bytes(hashlib.sha256(f"{order.seed} {seed} {label}".encode()).digest()[:7])
        without = order.control[label] if order.control else None
        some = taken(
            chance[able], features[able], places.candidate_seeds[able], len(free), order.adapting, draw, without
        )
        chosen = able[some.rows]
        odds[chosen], arm[chosen[some.control]] = some.odds, CONTROL
        rows[free[: len(chosen)]] = chosen
    return Taken(rows, {"arm": arm, "chance": chance, "doubt": doubt, "odds": odds})
