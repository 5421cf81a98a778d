"""What is nearest to an item, and what is best for a segment, in a catalogue's file."""

from __future__ import annotations

from bisect import bisect_left
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ParamsError

READ_ROWS = 20_000
SPARE = 32  # more neighbours than asked for, so that among equals the first by name are told
REMEDY = "give a file that catalogue.write made"
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

        rows, vectors_ND = _read(path)
        self._names, self._segments = rows.names, rows.segments
        self._unit = _unit(vectors_ND)
        # Of unit vectors the Euclidean order is that of the cosine, and scikit-learn's is several times as fast.
        self._index: Any = NearestNeighbors(algorithm="brute", metric="euclidean", n_jobs=1)
        if self._names:
            self._index.fit(self._unit)

    def similar(self, item: str, k: int) -> list[Found]:
        """Up to k other items, the most similar first, equals by name. Raises ParamsError for an unknown item."""
        own = bisect_left(self._names, item)
        if self._names[own : own + 1] != [item]:
            raise ParamsError(f"item {item[:80]!r} is not in the catalogue", remedy="look at the column item")
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
        rows, scores = self._segments[name]
        best = zip(rows[: max(0, k)].tolist(), scores[: max(0, k)].tolist(), strict=True)
        return [Found(self._names[row], score) for row, score in best]


class _Rows(NamedTuple):
    """names: of all items, sorted. segments: of each, rows in names, int32, and scores, float32, by rank."""

    names: list[str]
    segments: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]]


def _read(path: Path) -> tuple[_Rows, NDArray[np.float32]]:
    """The rows, and the embeddings of names, float32 [N, D]; of those only a few thousand are read at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            size = _dimensions(file.schema_arrow, path)
            keys = file.read(COLUMNS[:3])
            items = keys["item"].cast(pa.string())
            names = pc.unique(items).sort()
            places = pc.index_in(items, value_set=names).to_numpy().astype(np.int32)
            vectors_ND = np.zeros((len(names), size), np.float32)
            start = 0
            for batch in file.iter_batches(READ_ROWS, columns=COLUMNS[3:]):
                flat = batch.column("embedding").flatten().to_numpy(zero_copy_only=False)
                vectors_ND[places[start : start + len(batch)]] = flat.reshape(len(batch), size)
                start += len(batch)
    except (pa.ArrowException, OSError, ValueError) as error:
        what = f"can't be read: {' '.join(str(error).split())[:200]}"
        raise ParamsError(what, where=str(path), remedy=REMEDY) from None
    where = keys["segment"].combine_chunks().dictionary_encode()
    codes, scores = where.indices.to_numpy(), keys["score"].to_numpy().astype(np.float32)
    segments = {
        name: (places[codes == code], scores[codes == code]) for code, name in enumerate(where.dictionary.to_pylist())
    }
    return _Rows(names.to_pylist(), segments), vectors_ND


def _dimensions(schema: Any, path: Path) -> int:
    import pyarrow as pa

    if missing := set(COLUMNS) - set(schema.names):
        raise ParamsError(f"has no columns {sorted(missing)}", where=str(path), remedy=REMEDY)
    kind = schema.field("embedding").type
    if not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.float32():
        raise ParamsError(f"embedding is {kind}, no fixed-size list of float32", where=str(path), remedy=REMEDY)
    return int(kind.list_size)


def _unit(vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.sqrt(np.einsum("nd,nd->n", vectors_ND, vectors_ND, dtype=np.float64))[:, None]
    vectors_ND /= np.where(lengths > 0, lengths, 1).astype(np.float32)
    return vectors_ND
