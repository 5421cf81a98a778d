"""Parquet in Hugging Face's image convention."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import repeat
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from pipeline.collect.items import TOO_LARGE, RawItem
from pipeline.collect.labels import composed, split_of
from pipeline.errors import SourceError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_ROWS, BATCH_BYTES = 500, 32 * 2**20
STREAM_BYTES = 2**20
BOMB_RATIO = 50  # images hardly compress; a column that did is read row by row
MAX_NAME_BYTES = 4096


def read_table(name: str, file: IO[bytes], max_item_bytes: int) -> Iterator[RawItem]:
    """Rows in order. Raises SourceError where image or label is of a type that can't be one."""
    table = _open(file)
    schema = table.schema_arrow
    _check(schema, name)
    columns = [column for column in ("image", "label", "split") if column in schema.names]
    names, split, row = _class_names(schema), _split(name), 0
    for group in range(table.num_row_groups):
        rows = _batch_rows(table.metadata.row_group(group))
        for batch in table.iter_batches(rows, row_groups=[group], columns=columns):
            for cells in _rows(batch):
                yield _item(f"{name}/{row:06}", cells, names, split, max_item_bytes)
                row += 1


def _open(file: IO[bytes]) -> pq.ParquetFile:
    """Bytes and texts as dictionaries: a value that is repeated by the million is in memory once."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(file)
    leaves = [metadata.schema.column(i) for i in range(len(metadata.schema))]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    file.seek(0)
    return pq.ParquetFile(file, metadata=metadata, read_dictionary=texts, buffer_size=STREAM_BYTES)


def _check(schema: pa.Schema, name: str) -> None:
    """The types by which an item has one image and at most one label."""
    import pyarrow.types as types

    image = schema.field("image").type if "image" in schema.names else None
    if image is None or not types.is_struct(image) or image.get_field_index("bytes") < 0:
        raise ValueError(f"{name} has no column image: struct<bytes, path>")
    if not _is_text(data := image.field("bytes").type):
        raise ValueError(f"image.bytes of {name} is {data}, not binary")
    if "label" in schema.names and not _is_label(label := schema.field("label").type):
        remedy = "give one text or whole number an item, or leave the column out"
        raise SourceError(f"column label is {label}: it can't be a class", where=name, remedy=remedy)


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    tests = (types.is_string, types.is_large_string, types.is_string_view)
    return any(test(kind) for test in (*tests, types.is_binary, types.is_large_binary, types.is_binary_view))


def _is_label(kind: pa.DataType) -> bool:
    import pyarrow.types as types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    tests = (types.is_integer, types.is_boolean, types.is_floating, types.is_null)
    return _is_text(kind) or any(test(kind) for test in tests)


def _batch_rows(group: Any) -> int:
    """As many rows as BATCH_BYTES hold on average; one where the file is out of proportion to what is in it."""
    columns = [group.column(i) for i in range(group.num_columns)]
    size = sum(column.total_uncompressed_size for column in columns)
    packed = sum(column.total_compressed_size for column in columns)
    if size > BATCH_BYTES and size > BOMB_RATIO * packed:
        return 1
    return int(min(BATCH_ROWS, max(1, BATCH_BYTES * group.num_rows // max(1, size))))


class _Cells(NamedTuple):
    """One row, nothing of it copied yet."""

    data: Any
    path: Any
    label: Any
    split: Any


def _rows(batch: pa.RecordBatch) -> Iterator[_Cells]:
    import pyarrow.compute as pc

    def column(name: str) -> Any:
        return batch.column(name) if name in batch.schema.names else repeat(None)

    image = batch.column("image")
    paths = pc.struct_field(image, "path") if image.type.get_field_index("path") >= 0 else repeat(None)
    for cells in zip(pc.struct_field(image, "bytes"), paths, column("label"), column("split"), strict=False):
        yield _Cells(*cells)


def _item(place: str, cells: _Cells, names: list[str], split: str, cap: int) -> RawItem:
    problem, size = None, _size(cells.data)
    if size > cap:
        problem = f"{TOO_LARGE}: {size} bytes, max_item_bytes is {cap}"
    elif max(map(_size, (cells.path, cells.label, cells.split))) > MAX_NAME_BYTES:
        return RawItem(place, b"", None, split, f"{TOO_LARGE}: a name of more than {MAX_NAME_BYTES} bytes")
    data = b"" if problem else bytes(_value(cells.data) or b"")
    own = split_of(_text(cells.split) or "") or split
    label = _label(cells.label, names)
    return RawItem(_text(cells.path) or place, data, label and composed(label), own, problem)


def _label(cell: Any, names: list[str]) -> str | None:
    """The class's name; -1 and not-a-number are what tools write where there is none."""
    value = _value(cell)
    if isinstance(value, float):
        if not value.is_integer():
            return None if value != value else str(value)
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return names[value] if 0 <= value < len(names) else None if value < 0 else str(value)
    return str(value) if isinstance(value, bool) else _text(cell) or None


def _text(cell: Any) -> str | None:
    value = _value(cell)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else None


def _value(cell: Any) -> Any:
    return None if cell is None else cell.as_py()


def _size(cell: Any) -> int:
    """Bytes of a text or binary cell, known without a copy; 0 for any other."""
    cell = cell.value if hasattr(cell, "dictionary") else cell
    buffer = cell.as_buffer() if hasattr(cell, "as_buffer") else None
    return buffer.size if buffer else 0


def _class_names(schema: Any) -> list[str]:
    """ClassLabel names from the metadata that `datasets` writes, or none."""
    try:
        info = json.loads((schema.metadata or {})[b"huggingface"])["info"]
        return [str(name) for name in info["features"]["label"]["names"]]
    except (KeyError, TypeError, ValueError):
        return []


def _split(name: str) -> str:
    """`train-00000-of-00001.parquet` and `train/0.parquet` are train."""
    path = PurePosixPath(name)
    return split_of(path.name.partition("-")[0].partition(".")[0]) or next(
        (split_of(part) for part in path.parts[:-1] if split_of(part)), ""
    )
