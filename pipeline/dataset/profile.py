"""How the images of a snapshot are distributed, and how far two snapshots lie apart by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.values import Value

if TYPE_CHECKING:
    import pyarrow as pa

BINS = 16
MOST_LOG_SIDE = 14  # of the longer side in pixels, to base 2


class Profile(Value):
    """Counts of the images: by label ("" for none), by 16 steps of brightness, by the longer side's log2, 0 to 14."""

    labels: dict[str, int]
    brightness: tuple[int, ...]
    sides: tuple[int, ...]


def profile_of(manifest: pa.Table) -> Profile:
    """manifest: columns label, brightness, width, height and problem; rows with a problem are passed over."""
    good = manifest.filter(manifest["problem"].is_null())
    labels = {str(entry["values"] or ""): int(entry["counts"]) for entry in good["label"].value_counts().to_pylist()}
    brightness = np.histogram(good["brightness"].to_numpy(), BINS, (0, 256))[0]
    longer = np.maximum(good["width"].to_numpy(), good["height"].to_numpy())
    logs = np.clip(np.log2(np.maximum(longer, 1)).astype(int), 0, MOST_LOG_SIDE)
    sides = np.bincount(logs, minlength=MOST_LOG_SIDE + 1)
    return Profile(
        labels=dict(sorted(labels.items())), brightness=tuple(brightness.tolist()), sides=tuple(sides.tolist())
    )


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
