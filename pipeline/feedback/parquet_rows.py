"""Parquet of strangers, read some rows at a time; what unpacks out of proportion is not read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any

from pipeline.errors import SourceError
from pipeline.feedback.parquet_pages import unpacked
from pipeline.feedback.rows import Raw, columns_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS, BATCH_BYTES, STREAM_BYTES = 1024, 32 * 2**20, 2**20
MOST_ROWS = 10**8
COLUMN_BYTES, BOMB_RATIO = 32 * 2**20, 50  # of one column of a row group
CELL_BYTES = 64 * 2**10
NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
DAY = 86_400 * 10**9
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rows_of_parquet(file: IO[bytes], name: str) -> Iterator[Raw]:
    """Raises SourceError where it is no Parquet, or not of ours; a part that is damaged ends it, and is told."""
    import pyarrow as pa

    place = 0
    try:
        table = _open(file, name)
        names = columns_of(table.schema_arrow.names, name)
        sizes = _sizes(file, table.metadata, name)
        for group, size in enumerate(sizes):  # by itself: a batch over two would be lost with either
            rows = min(BATCH_ROWS, max(1, BATCH_BYTES * table.metadata.row_group(group).num_rows // max(1, size)))
            for batch in table.iter_batches(rows, row_groups=[group]):
                columns = [_cells(column) for column in batch.columns]
                for row in range(batch.num_rows):
                    place += 1
                    yield _row(place, names, columns, row)
    except (pa.ArrowException, OSError, MemoryError) as error:
        fault = " ".join(str(error).split())[:200]
        if not place:
            raise SourceError(f"no Parquet that can be read: {fault}", where=name) from None
        yield Raw(place + 1, {}, "", f"damaged: {fault}; from here on nothing was read")


def _open(file: IO[bytes], name: str) -> pq.ParquetFile:
    """Texts as dictionaries: one that is repeated by the million is in memory once."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(file)
    leaves = [metadata.schema.column(i) for i in range(len(metadata.schema))]
    file.seek(0)
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    table = pq.ParquetFile(file, metadata=metadata, read_dictionary=texts, buffer_size=STREAM_BYTES)
    for field in table.schema_arrow:
        if not _is_plain(field.type):
            remedy = "give a text, a number, a truth value or a time; tags as one text with ; between them"
            raise SourceError(f"column {field.name[:40]!r} is {str(field.type)[:80]}", where=name, remedy=remedy)
    return table


def _sizes(file: IO[bytes], metadata: Any, name: str) -> list[int]:
    """Bytes that each row group unpacks to."""
    if metadata.num_rows > MOST_ROWS:
        raise SourceError(f"{metadata.num_rows} rows, at most {MOST_ROWS}", where=name, remedy="give it in parts")
    found = []
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        found.append(sum(_size(file, group.column(i), name) for i in range(group.num_columns)))
    file.seek(0)
    return found


def _size(file: IO[bytes], column: Any, name: str) -> int:
    packed = column.total_compressed_size
    places = [column.data_page_offset, *([column.dictionary_page_offset] if column.has_dictionary_page else [])]
    try:
        size = unpacked(file, min(places), packed)
    except ValueError as error:
        raise SourceError(f"no Parquet that can be read: {error}", where=name) from None
    if size > COLUMN_BYTES and size > BOMB_RATIO * packed:
        remedy = "write it again in smaller files or row groups"
        raise SourceError(f"a column of {packed} bytes would unpack to {size}", where=name, remedy=remedy)
    return size


def _is_plain(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    numbers = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean, types.is_null)
    texts = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return any(test(kind) for test in (*numbers, *texts, types.is_timestamp, types.is_date))


Cell = Callable[[int], Any]


def _cells(column: pa.Array) -> Cell:
    """Gives the cell of a row: a text, a number, a truth value, a time or None. Raises ValueError where it is none."""
    import pyarrow as pa
    import pyarrow.types as types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if types.is_timestamp(kind) or types.is_date(kind):
        days = types.is_date32(kind)
        unit = DAY if days else NANOSECONDS[kind.unit if types.is_timestamp(kind) else "ms"]
        counts = column.view(pa.int32() if days else pa.int64()).to_pylist()
        return lambda row: None if counts[row] is None else _time(counts[row], unit)
    if types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind) or types.is_null(kind):
        return column.to_pylist().__getitem__  # type: ignore[no-any-return]
    return lambda row: _text(column[row])


def _text(scalar: pa.Scalar) -> object:
    """Nothing is copied of one that is too long."""
    scalar = getattr(scalar, "value", scalar) if hasattr(scalar, "dictionary") else scalar
    if scalar is None or not scalar.is_valid:
        return None
    if not hasattr(scalar, "as_buffer"):
        return scalar.as_py()
    if (size := scalar.as_buffer().size) > CELL_BYTES:
        raise ValueError(f"a cell of {size} bytes")
    return scalar.as_buffer().to_pybytes().decode("utf-8", "surrogateescape")


def _time(count: int, nanoseconds: int) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=count * nanoseconds // 1000)
    except OverflowError:
        raise ValueError("at: a time beyond any calendar") from None


def _row(place: int, names: list[str], columns: list[Cell], row: int) -> Raw:
    try:
        cells = {name: cell(row) for name, cell in zip(names, columns, strict=True)}
    except ValueError as error:
        return Raw(place, {}, "", str(error))
    return Raw(place, cells, json.dumps(cells, ensure_ascii=False, default=str))
