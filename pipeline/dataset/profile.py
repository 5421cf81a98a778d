"""How the images of a snapshot are distributed, and how far two snapshots lie apart by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.values import Snapshot, Value

if TYPE_CHECKING:
    import pyarrow as pa

BINS = 16
MOST_LOG_SIDE = 14  # of the longer side in pixels, to base 2


class Profile(Value):
    """Counts of the images: by label ("" for none), by 16 steps of brightness, by the longer side's log2, 0 to 14, and
    by what was taken out of their files."""

    labels: dict[str, int]
    brightness: tuple[int, ...]
    sides: tuple[int, ...]
    stripped: dict[str, int] = {}


def profile_of(snapshot: Path) -> Profile:
    """Of the snapshot in this folder; its parts are read one at a time."""
    parts = Snapshot.model_validate_json((snapshot / "snapshot.json").read_text()).parts
    labels, brightness, sides = Counter[str](), np.zeros(BINS, int), np.zeros(MOST_LOG_SIDE + 1, int)
    stripped = Counter[str]()
    for part in parts:
        table = _images(snapshot / "parts" / part.name)
        counts = table["label"].value_counts().to_pylist()
        labels.update({str(entry["values"] or ""): int(entry["counts"]) for entry in counts})
        for entry in table["stripped"].value_counts().to_pylist():
            stripped.update(dict.fromkeys((entry["values"] or "").split(", "), int(entry["counts"])))
        steps = (table["brightness"].to_numpy() * (BINS / 256)).astype(int)
        brightness += np.bincount(np.clip(steps, 0, BINS - 1), minlength=BINS)
        longer = np.maximum(table["width"].to_numpy(), table["height"].to_numpy())
        logs = np.log2(np.maximum(longer, 1)).astype(int)
        sides += np.bincount(np.minimum(logs, MOST_LOG_SIDE), minlength=MOST_LOG_SIDE + 1)
    del stripped[""]
    return Profile(
        labels=dict(sorted(labels.items())),
        brightness=tuple(brightness.tolist()),
        sides=tuple(sides.tolist()),
        stripped=dict(sorted(stripped.items())),
    )


def _images(part: Path) -> pa.Table:
    """The rows of a part that have no problem."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(part, read_dictionary=["label", "problem", "stripped"]) as file:
        table = file.read(["label", "brightness", "width", "height", "problem", "stripped"])
    return table.filter(table["problem"].is_null())


def drifts(before: Profile, after: Profile) -> dict[str, float]:
    """Total variation distance of each distribution, 0 (alike) to 1 (nothing in common)."""
    names = sorted(before.labels.keys() | after.labels.keys())
    labels = ([found.labels.get(name, 0) for name in names] for found in (before, after))
    return {
        "labels": _variation(*labels),
        "brightness": _variation(before.brightness, after.brightness),
        "sides": _variation(before.sides, after.sides),
    }


def _variation(a: Sequence[int], b: Sequence[int]) -> float:
    p, q = (np.asarray(counts, float) / max(1, sum(counts)) for counts in (a, b))
    return round(float(np.abs(p - q).sum() / 2), 4)


def findings(drift: Mapping[str, float], limits: Mapping[str, float]) -> list[str]:
    """One clause for each distribution that moved farther than its limit."""
    return [
        f"{name} moved by {drift[name]:.3f}, the limit is {limit:g}"
        for name, limit in limits.items()
        if drift.get(name, 0.0) > limit
    ]
