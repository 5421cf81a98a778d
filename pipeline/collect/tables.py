"""Parquet in Hugging Face's image convention."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any

from pipeline.collect.items import TOO_LARGE, RawItem
from pipeline.collect.labels import split_of

BATCH_ROWS = 500


def read_table(name: str, file: IO[bytes], max_item_bytes: int) -> Iterator[RawItem]:
    """Rows in order. Raises ValueError where there is no image column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file)
    schema = table.schema_arrow
    if "image" not in schema.names or not pa.types.is_struct(schema.field("image").type):
        raise ValueError(f"{name} has no column image: struct<bytes, path>")
    columns = [column for column in ("image", "label", "split") if column in schema.names]
    names, split, row = _class_names(schema), _split(name), 0
    for batch in table.iter_batches(BATCH_ROWS, columns=columns):
        for record in batch.to_pylist():
            yield _item(f"{name}/{row:06}", record, names, split, max_item_bytes)
            row += 1


def _item(place: str, record: dict[str, Any], names: list[str], split: str, cap: int) -> RawItem:
    image, label = record["image"] or {}, record.get("label")
    if isinstance(label, int):
        label = names[label] if 0 <= label < len(names) else None if label < 0 else str(label)
    data = image.get("bytes") or b""
    problem = f"{TOO_LARGE}: {len(data)} bytes, max_item_bytes is {cap}" if len(data) > cap else None
    split = split_of(record.get("split") or "") or split
    text = None if label is None else str(label)
    return RawItem(image.get("path") or place, b"" if problem else data, text, split, problem)


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
