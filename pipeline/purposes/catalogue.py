"""Generated items as a recommender joins them: a table keyed by segment and item, in Parquet."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ParamsError
from pipeline.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
MOST_PER_SEGMENT = 100_000
GROUP_ROWS = 20_000

Segments = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Items:
    """names, labels: str [N], names all different; quality: float32 [N] in 0 to 1; embeddings: float32 [N, D]."""

    names: NDArray[np.str_]
    labels: NDArray[np.str_]
    quality: NDArray[np.float32]
    embeddings: NDArray[np.float32]

    def __post_init__(self) -> None:
        counts = {len(self.names), len(self.labels), len(self.quality), len(self.embeddings)}
        if len(counts) > 1 or self.embeddings.ndim != 2 or not self.embeddings.shape[1]:
            raise ValueError(f"names, labels, quality and embeddings of {sorted(counts)} items")
        if len(np.unique(self.names)) < len(self.names):
            raise ValueError("two items have one name")
        if not np.isfinite(self.embeddings).all():
            raise ValueError("embeddings are not all finite")
        if not ((self.quality >= 0) & (self.quality <= 1)).all():
            raise ValueError("quality lies outside 0 to 1")


def check_segments(segments: Segments, classes: set[str]) -> None:
    """Raises ParamsError for a segment that can't be: no name, unknown classes, weights below 0 or of nothing."""
    for name, mix in segments.items():
        if not NAME.fullmatch(name):
            raise ParamsError(f"{name[:80]!r} is no name of a segment", remedy="letters, digits, _ . and -, at most 64")
        unknown = sorted(set(mix) - classes)
        if unknown:
            remedy = f"the classes are {sorted(classes)[:20]}"
            raise ParamsError(f"segment {name} names {unknown[:5]}", remedy=remedy)
        wrong = [weight for weight in mix.values() if not (math.isfinite(weight) and weight >= 0)]
        if wrong or not sum(mix.values()) > 0:
            raise ParamsError(
                f"segment {name} has weights {list(mix.values())[:5]}", remedy="give one above 0, none below"
            )


def shares(mix: Mapping[str, float]) -> dict[str, float]:
    """The weights of a segment's classes, so that they add up to 1; also what a batch for it is made of."""
    total = math.fsum(mix.values())
    return {label: weight / total for label, weight in mix.items() if weight > 0}


def schema(dimensions: int) -> pa.Schema:
    import pyarrow as pa

    fields = [("segment", pa.string()), ("item", pa.string()), ("label", pa.string()), ("score", pa.float32())]
    fields += [("rank", pa.int32()), ("embedding", pa.list_(pa.float32(), dimensions))]
    return pa.schema(fields)


def tables(items: Items, segments: Segments, most: int = MOST_PER_SEGMENT) -> Iterator[pa.Table]:
    """One table a segment, sorted by name, its rows by rank from 1; at most `most` of each.

    score: the share of the item's class in the segment, times its quality, so in 0 to 1. Equal scores go by item.
    """
    check_segments(segments, {str(label) for label in np.unique(items.labels)})
    for name in sorted(segments):
        yield _ranked(items, name, shares(segments[name]), most)


def _ranked(items: Items, segment: str, mix: Mapping[str, float], most: int) -> pa.Table:
    import pyarrow as pa

    labels, codes = np.unique(items.labels, return_inverse=True)
    weights = np.array([mix.get(str(label), 0.0) for label in labels])[codes]
    scores = (weights * items.quality).astype(np.float32)
    chosen = np.flatnonzero(weights > 0)
    chosen = chosen[np.lexsort((items.names[chosen], -scores[chosen]))][:most]
    flat = pa.array(items.embeddings[chosen].astype(np.float32, copy=False).reshape(-1))
    columns = [
        pa.array([segment] * len(chosen), pa.string()),
        pa.array(items.names[chosen].tolist(), pa.string()),
        pa.array(items.labels[chosen].tolist(), pa.string()),
        pa.array(scores[chosen]),
        pa.array(np.arange(1, len(chosen) + 1, dtype=np.int32)),
        pa.FixedSizeListArray.from_arrays(flat, items.embeddings.shape[1]),
    ]
    return pa.table(columns, schema=schema(items.embeddings.shape[1]))


def write(path: Path, items: Items, segments: Segments, most: int = MOST_PER_SEGMENT) -> int:
    """One Parquet file, whole or not at all; rows written. One segment is in memory at a time."""
    import pyarrow.parquet as pq

    check_segments(segments, {str(label) for label in np.unique(items.labels)})
    rows = 0
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema(items.embeddings.shape[1]), compression="zstd") as writer,
    ):
        for table in tables(items, segments, most):
            writer.write_table(table, GROUP_ROWS)
            rows += len(table)
    return rows
