"""A snapshot's rows: everything but the bytes at once, the bytes a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.values import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa


def schema() -> pa.Schema:
    import pyarrow as pa

    text, real, whole = pa.string(), pa.float32(), pa.int32()
    image = pa.struct([("bytes", pa.binary()), ("path", text)])
    fields = [("image", image), ("label", text), ("split", text), ("sha256", text), ("size_bytes", pa.int64())]
    fields += [("format", text), ("mode", text), ("width", whole), ("height", whole), ("brightness", real)]
    fields += [("contrast", real), ("dhash", text), ("problem", text), ("source", text), ("unit", text)]
    fields += [("accepted", pa.bool_())]  # by a person, whatever validation says
    fields += [("original", text), ("stripped", text)]  # hash of the bytes as read, and what was taken out of them
    return pa.schema(fields)


def read_manifest(folder: Path) -> pa.Table:
    """All columns but image.bytes, with `path`, and `part` and `row` by which `read_bytes` finds the bytes."""
    import pyarrow as pa

    nothing = _located(schema().empty_table(), "")
    return pa.concat_tables([nothing, *(_rows_of(folder, part.name) for part in _snapshot(folder).parts)])


def find(folder: Path, which: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> Iterator[dict[str, Any]]:
    """Rows of the manifest. which: of hashes, true for those wanted; of a part that has none no more is read.

    They are found by the hash of what is kept, and by that of the file as it was read.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    for part in _snapshot(folder).parts:
        with pq.ParquetFile(folder / "parts" / part.name) as file:
            hashes = file.read(["sha256", "original"])
        found = pc.or_(*(pc.fill_null(which(hashes[name]), False) for name in ("sha256", "original")))
        if pc.any(found).as_py():
            yield from _rows_of(folder, part.name).filter(found).to_pylist()


def _snapshot(folder: Path) -> Snapshot:
    return Snapshot.model_validate_json((folder / "snapshot.json").read_text())


def _rows_of(folder: Path, part: str) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(folder / "parts" / part) as file:
        columns = [name for name in file.schema_arrow.names if name != "image"]
        return _located(file.read(["image.path", *columns]), part)


def _located(table: pa.Table, part: str) -> pa.Table:
    """With the path as a column of its own, and where each row stands."""
    import numpy as np
    import pyarrow as pa

    paths = pa.chunked_array([chunk.field("path") for chunk in table["image"].chunks], pa.string())
    table = table.drop_columns("image").add_column(0, "path", paths)
    table = table.append_column("part", pa.array([part] * len(table), pa.string()))
    return table.append_column("row", pa.array(np.arange(len(table), dtype=np.int64)))


def read_bytes(folder: Path, part: str, rows: Sequence[int]) -> list[bytes]:
    """The bytes of these rows of one part of a snapshot."""
    return read_rows(folder / "parts" / part, rows)


def read_rows(path: Path, rows: Sequence[int]) -> list[bytes]:
    """The bytes of these rows of a part's file, in the order asked for; only their row groups are read."""
    import numpy as np
    import pyarrow.parquet as pq

    wanted = np.asarray(rows, dtype=np.int64)
    found: dict[int, bytes] = {}
    with pq.ParquetFile(path) as file:
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            here = np.unique(wanted[(wanted >= start) & (wanted < end)])
            if len(here):
                column = file.read_row_group(group, columns=["image.bytes"])["image"].combine_chunks()
                values = column.field("bytes").take(here - start).to_pylist()
                found.update(zip(here.tolist(), values, strict=True))
            start = end
    return [found[row] for row in wanted.tolist()]
