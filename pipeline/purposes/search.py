"""What is nearest to an item, and what is best for a segment, in a catalogue's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ParamsError

READ_ROWS = 20_000
SPARE = 32  # more neighbours than asked for, so that among equals the first by name are told
COLUMNS = ["segment", "item", "score", "embedding"]


class Found(NamedTuple):
    """score: cosine, -1 to 1, of what is similar; the catalogue's, 0 to 1, of what a segment holds."""

    item: str
    score: float


class Search:
    """Memory: one embedding an item, however many segments it is in. An embedding of zeros is like nothing."""

    def __init__(self, path: Path) -> None:
        """Raises ParamsError where the file is no catalogue."""
        from sklearn.neighbors import NearestNeighbors

        self._segments = dict[str, list[Found]]()
        vectors = dict[str, NDArray[np.float32]]()
        for segments, items, scores, embeddings in _rows(path):
            for segment, item, score, embedding in zip(segments, items, scores, embeddings, strict=True):
                self._segments.setdefault(segment, []).append(Found(item, score))
                if item not in vectors:
                    vectors[item] = embedding.copy()
        self._names = sorted(vectors)
        self._row_of = {name: row for row, name in enumerate(self._names)}
        self._unit = _unit(np.stack([vectors.pop(name) for name in self._names])) if vectors else np.zeros((0, 1))
        # Of unit vectors the Euclidean order is that of the cosine, and scikit-learn's is several times as fast.
        self._index: Any = NearestNeighbors(algorithm="brute", metric="euclidean", n_jobs=1)
        if self._names:
            self._index.fit(self._unit)

    def similar(self, item: str, k: int) -> list[Found]:
        """Up to k other items, the most similar first, equals by name. Raises ParamsError for an unknown item."""
        if item not in self._row_of:
            raise ParamsError(f"item {item[:80]!r} is not in the catalogue", remedy="look at the column item")
        own = self._row_of[item]
        count = min(len(self._names), max(0, k) + 1 + SPARE)
        rows = self._index.kneighbors(self._unit[own][None], count, return_distance=False)[0]
        rows = rows[rows != own]
        cosines = np.round(self._unit[rows].astype(np.float64) @ self._unit[own].astype(np.float64), 6)
        order = np.lexsort((rows, -cosines))[: max(0, k)]
        return [Found(self._names[rows[place]], float(cosines[place])) for place in order]

    def for_segment(self, name: str, k: int) -> list[Found]:
        """The k best of a segment, by rank. Raises ParamsError for an unknown segment."""
        if name not in self._segments:
            raise ParamsError(
                f"segment {name[:80]!r} is not in the catalogue", remedy=f"it has {sorted(self._segments)[:20]}"
            )
        return self._segments[name][: max(0, k)]


def _rows(path: Path) -> Iterator[tuple[list[str], list[str], list[float], NDArray[np.float32]]]:
    """By the file's order, which is by segment and rank; a few thousand at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    remedy = "give a file that catalogue.write made"
    try:
        with pq.ParquetFile(path) as file:
            if missing := set(COLUMNS) - set(file.schema_arrow.names):
                raise ParamsError(f"has no columns {sorted(missing)}", where=str(path), remedy=remedy)
            kind = file.schema_arrow.field("embedding").type
            if not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.float32():
                raise ParamsError(f"embedding is {kind}, no fixed-size list of float32", where=str(path), remedy=remedy)
            for batch in file.iter_batches(READ_ROWS, columns=COLUMNS):
                segments, items, scores = (batch.column(name).to_pylist() for name in COLUMNS[:3])
                flat = batch.column("embedding").flatten().to_numpy(zero_copy_only=False)
                yield segments, items, scores, flat.reshape(len(batch), kind.list_size)
    except (pa.ArrowException, OSError, ValueError) as error:
        what = f"can't be read: {' '.join(str(error).split())[:200]}"
        raise ParamsError(what, where=str(path), remedy=remedy) from None


def _unit(vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors_ND.astype(np.float64), axis=1, keepdims=True)
    return (vectors_ND / np.where(lengths > 0, lengths, 1)).astype(np.float32)
