"""What a snapshot's rows are judged by, as numbers: about 70 bytes a row, read without the images and their paths."""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.values import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

HEX_BYTES = {"sha256": 32, "dhash": 8}
TEXTS = ("label", "split", "mode", "problem")
NUMBERS: dict[str, type[np.generic]] = {
    "width": np.int32,
    "height": np.int32,
    "brightness": np.float32,
    "contrast": np.float32,
    "accepted": np.bool_,
}


@dataclass(frozen=True)
class Coded:
    """A column of texts. codes: int32 [N], places in `names`; -1 where there is none."""

    codes: NDArray[np.int32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def known(self) -> NDArray[np.bool_]:
        return self.codes >= 0

    def among(self, wanted: set[str]) -> NDArray[np.bool_]:
        """bool [N]: whether a row's text is one of these."""
        return np.isin(self.codes, [code for code, name in enumerate(self.names) if name in wanted])

    def counts(self, rows: NDArray[np.bool_]) -> dict[str, int]:
        """How many of these rows have each text; 0 for a text that none has."""
        found = np.bincount(self.codes[rows & self.known], minlength=len(self.names))
        return dict(sorted(zip(self.names, found.tolist(), strict=True)))


@dataclass(frozen=True)
class Facts:
    """Rows of all parts, part after part; starts: int64 [parts + 1], where each begins.

    sha256: uint8 [N, 32]; accepted: by a person; without meaning where there is a problem: dhash: uint8 [N, 8], the
    difference hash, width, height: int32, brightness, contrast: float32.
    """

    parts: tuple[str, ...]
    starts: NDArray[np.int64]
    sha256: NDArray[np.uint8]
    label: Coded
    split: Coded
    mode: Coded
    problem: Coded
    dhash: NDArray[np.uint8]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    brightness: NDArray[np.float32]
    contrast: NDArray[np.float32]
    accepted: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.sha256)

    @property
    def part(self) -> NDArray[np.int32]:
        """int32 [N]: which part each row is in."""
        return np.repeat(np.arange(len(self.parts), dtype=np.int32), np.diff(self.starts))

    def by_part(self, rows: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64], slice]]:
        """Of ascending rows those of each part, counted from its start, and where they stand in `rows`."""
        ends = np.searchsorted(rows, self.starts)
        for index, (begin, end) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
            if begin < end:
                yield self.parts[index], rows[begin:end] - self.starts[index], slice(begin, end)


def read_facts(snapshot: Path) -> Facts:
    """Of every row of the snapshot in this folder."""
    import pyarrow.parquet as pq

    parts = Snapshot.model_validate_json((snapshot / "snapshot.json").read_text()).parts
    texts = {name: _Codes() for name in TEXTS}
    numbers: dict[str, list[NDArray[np.generic]]] = {name: [np.empty(0, kind)] for name, kind in NUMBERS.items()}
    numbers |= {name: [np.empty((0, width), np.uint8)] for name, width in HEX_BYTES.items()}
    for part in parts:
        with pq.ParquetFile(snapshot / "parts" / part.name, read_dictionary=list(TEXTS)) as file:
            table = file.read([*TEXTS, *numbers])
        for name, codes in texts.items():
            codes.add(table[name])
        for name, width in HEX_BYTES.items():
            numbers[name].append(digests(table[name], width))
        for name in NUMBERS:
            numbers[name].append(table[name].fill_null(False if name == "accepted" else 0).to_numpy())
    starts = np.cumsum([len(array) for array in numbers["sha256"]], dtype=np.int64)
    columns = {name: np.concatenate(arrays) for name, arrays in numbers.items()}
    coded = {name: codes.coded() for name, codes in texts.items()}
    return Facts(tuple(part.name for part in parts), starts, **coded, **columns)  # type: ignore[arg-type]


class _Codes:
    """Dictionaries of single parts as one."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._codes: list[NDArray[np.int32]] = []

    def add(self, column: pa.ChunkedArray) -> None:
        for chunk in column.chunks:
            places = [self._known.setdefault(name, len(self._known)) for name in chunk.dictionary.to_pylist()]
            mapping = np.array([*places, -1], np.int32)  # -1, no text, finds the last
            self._codes.append(mapping[chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)])

    def coded(self) -> Coded:
        return Coded(np.concatenate([np.empty(0, np.int32), *self._codes]), tuple(self._known))


def digests(hashes: pa.ChunkedArray, width: int = HEX_BYTES["sha256"]) -> NDArray[np.uint8]:
    """uint8 [N, width] of hashes in twice as many hex digits. Raises ValueError where one is none."""
    found = [np.empty((0, width), np.uint8)]
    for chunk in hashes.chunks:
        _, offsets, text = chunk.buffers()
        places = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        if chunk.null_count or (np.diff(places) != 2 * width).any():
            raise ValueError(f"a hash without {2 * width} digits")
        if len(chunk):
            data = unhexlify(memoryview(text)[places[0] : places[-1]])
            found.append(np.frombuffer(data, np.uint8).reshape(-1, width))
    return np.concatenate(found)


def paths_of(snapshot: Path, facts: Facts, rows: NDArray[np.int64]) -> list[str]:
    """Of ascending rows; only their parts are read."""
    import pyarrow.parquet as pq

    found: list[str] = []
    for part, local, _ in facts.by_part(rows):
        with pq.ParquetFile(snapshot / "parts" / part) as file:
            column = file.read(["image.path"])["image"].combine_chunks().field("path")
        found += column.take(local).to_pylist()
    return found


def write_rows(path: Path, facts: Facts, rows: NDArray[np.bool_]) -> None:
    """Which rows of which parts, as Parquet with columns part and row, by which `read_bytes` finds their bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    part = facts.part[rows]
    row = np.flatnonzero(rows) - facts.starts[part]
    parts = pa.DictionaryArray.from_arrays(pa.array(part), pa.array(facts.parts, pa.string()))
    encoding = {"use_dictionary": ["part"], "column_encoding": {"row": "DELTA_BINARY_PACKED"}}
    pq.write_table(pa.table({"part": parts, "row": row}), path, **encoding)


def read_rows(path: Path, facts: Facts) -> NDArray[np.bool_]:
    """bool [N]: the rows that `write_rows` wrote of this snapshot."""
    import pyarrow.parquet as pq

    table = pq.read_table(path, read_dictionary=["part"]).unify_dictionaries().combine_chunks()
    chosen = np.zeros(len(facts), bool)
    for part, row in zip(table["part"].chunks, table["row"].chunks, strict=True):
        starts = facts.starts[[facts.parts.index(name) for name in part.dictionary.to_pylist()]]
        chosen[starts[part.indices.to_numpy()] + row.to_numpy()] = True
    return chosen
