"""Collect: every item of a source, inspected, into immutable Parquet parts."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.collect.items import IGNORED, RawItem
from pipeline.collect.labels import settled
from pipeline.collect.sources import open_source
from pipeline.errors import SourceError
from pipeline.files import replacing_folder, write_json
from pipeline.settings import Collect
from pipeline.values import Part, Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ITEMS = 500
CHUNK_BYTES = 8 * 2**20
INLINE_ITEMS = 2000
PART_ITEMS = 50_000
PART_BYTES = 64 * 2**20
GROUP_ROWS = 2000


def collect(settings: Collect, workspace: Path, out: Path, progress: Callable[[int], None] | None = None) -> Snapshot:
    """Write `parts/*.parquet` and `snapshot.json` to `out`, whole or not at all.

    Raises SourceError where the source can't be read or holds no image.
    """
    tally = _Tally()
    with replacing_folder(out) as folder:
        (folder / "parts").mkdir()
        items = tally.seen(open_source(settings.source, workspace, settings.max_item_bytes))
        parts: list[Part] = []
        for tables in _grouped(tally.rows(_inspected(_chunks(items)), progress)):
            parts.append(_write_part(folder / "parts", tables))
        if not tally.images:
            raise SourceError("no images in the source", where=settings.source, remedy="see what formats are read")
        if (labels := settled(tally.guesses)) != tally.guesses:
            parts = _relabelled(folder / "parts", parts, labels)
            tally.lines = _lines_of(folder / "parts", parts)
        snapshot = Snapshot(
            id=hashlib.sha256("\n".join(sorted(tally.lines)).encode("utf-8", "surrogateescape")).hexdigest()[:16],
            items=len(tally.lines),
            ignored=tally.ignored,
            parts=tuple(sorted(set(parts), key=lambda part: part.name)),
        )
        write_json(folder / "snapshot.json", snapshot.model_dump(mode="json"))
    return snapshot


class _Tally:
    """What is counted while items stream by."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.guesses: dict[str, str | None] = {}  # a folder's label
        self.images = self.ignored = 0

    def seen(self, items: Iterable[RawItem]) -> Iterator[RawItem]:
        for item in items:
            if item.problem == IGNORED:
                self.ignored += 1
            else:
                if item.guessed:
                    self.guesses[item.path.rpartition("/")[0]] = item.label
                yield item

    def rows(self, tables: Iterable[pa.Table], progress: Callable[[int], None] | None) -> Iterator[pa.Table]:
        for table in tables:
            self.lines.extend(_lines(table))
            self.images += table["problem"].null_count
            if progress:
                progress(len(self.lines))
            yield table


def _chunks(items: Iterable[RawItem]) -> Iterator[list[RawItem]]:
    chunk: list[RawItem] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += len(item.data)
        if len(chunk) >= CHUNK_ITEMS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _inspected(chunks: Iterator[list[RawItem]]) -> Iterator[pa.Table]:
    """In order. Small sources inline, larger ones in processes with a bounded queue."""
    first: list[list[RawItem]] = []
    while sum(map(len, first)) < INLINE_ITEMS and sum(len(i.data) for c in first for i in c) < PART_BYTES:
        if (chunk := next(chunks, None)) is None:
            yield from (_table(chunk, _measure([item.data for item in chunk])) for chunk in first)
            return
        first.append(chunk)
    yield from _pooled(chain(first, chunks))


def _pooled(chunks: Iterable[list[RawItem]]) -> Iterator[pa.Table]:
    workers = max(2, os.cpu_count() or 1)
    running: deque[tuple[list[RawItem], Future[list[tuple[Any, ...]]]]] = deque()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for chunk in chunks:
            running.append((chunk, pool.submit(_measure, [item.data for item in chunk])))
            if len(running) > 4 * workers or running[0][1].done():
                done, future = running.popleft()
                yield _table(done, future.result())
        while running:
            done, future = running.popleft()
            yield _table(done, future.result())


def _measure(contents: list[bytes]) -> list[tuple[Any, ...]]:
    from pipeline.media.image import inspect_all

    return [
        (hashlib.sha256(data).hexdigest(), *vars(found).values())
        for data, found in zip(contents, inspect_all(contents), strict=True)
    ]


def _table(chunk: list[RawItem], measured: list[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    schema = _schema()
    sha256, *columns, problems = zip(*measured, strict=True)
    names = [_text(item.path) for item in chunk]
    images = pa.StructArray.from_arrays(
        [pa.array([item.data for item in chunk], pa.binary()), pa.array(names, pa.string())], ["bytes", "path"]
    )
    labels = [None if item.label is None else _text(item.label) for item in chunk]
    sizes = [len(item.data) for item in chunk]
    why = [item.problem or problem for item, problem in zip(chunk, problems, strict=True)]
    values = [labels, [item.split for item in chunk], sha256, sizes, *columns, why]
    arrays = [pa.array(v, field.type) for v, field in zip(values, list(schema)[1:], strict=True)]
    return pa.Table.from_arrays([images, *arrays], schema=schema)


def _text(name: str) -> str:
    """Names that are not UTF-8 keep their bytes visible."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, real, whole = pa.string(), pa.float32(), pa.int32()
    image = pa.struct([("bytes", pa.binary()), ("path", text)])
    fields = [("image", image), ("label", text), ("split", text), ("sha256", text), ("size_bytes", pa.int64())]
    fields += [("format", text), ("mode", text), ("width", whole), ("height", whole), ("brightness", real)]
    return pa.schema([*fields, ("contrast", real), ("dhash", text), ("problem", text)])


def _grouped(tables: Iterable[pa.Table]) -> Iterator[list[pa.Table]]:
    group: list[pa.Table] = []
    for table in tables:
        group.append(table)
        if sum(map(len, group)) >= PART_ITEMS or sum(t.nbytes for t in group) >= PART_BYTES:
            yield group
            group = []
    if group:
        yield group


def _write_part(folder: Path, tables: list[pa.Table]) -> Part:
    """Name it by the hash of its rows: the same rows, the same name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.concat_tables(tables)
    digest = hashlib.sha256()
    paths = chain.from_iterable(chunk.field("path").to_pylist() for chunk in table["image"].chunks)
    columns = (table[name].to_pylist() for name in ("sha256", "label", "split", "problem"))
    for row in zip(paths, *columns, strict=True):
        digest.update(repr(row).encode())
    part = Part(name=f"{digest.hexdigest()[:16]}.parquet", items=len(table))
    pq.write_table(
        table,
        folder / part.name,
        row_group_size=GROUP_ROWS,
        use_dictionary=["label", "split", "format", "mode", "problem"],
        compression={"image.bytes": "NONE"} | dict.fromkeys(["image.path", *table.schema.names[1:]], "ZSTD"),
    )
    return part


def _lines(table: pa.Table) -> Iterator[str]:
    """What the snapshot's id is the hash of."""
    columns = (table[name].to_pylist() for name in ("sha256", "label", "split"))
    return (f"{sha256}\t{label or ''}\t{split}" for sha256, label, split in zip(*columns, strict=True))


def _lines_of(folder: Path, parts: list[Part]) -> list[str]:
    import pyarrow.parquet as pq

    columns = ["sha256", "label", "split"]
    return [line for part in parts for line in _lines(pq.read_table(folder / part.name, columns=columns))]


def _relabelled(folder: Path, parts: list[Part], labels: dict[str, str | None]) -> list[Part]:
    """The parts anew, one at a time, each item with its folder's label."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    by_folder = {_text(name): label and _text(label) for name, label in labels.items()}
    made: dict[Part, Part] = {}
    for part in set(parts):
        table = pq.read_table(folder / part.name)
        paths = table["image"].combine_chunks().field("path").to_pylist()
        found = pa.array([by_folder.get(path.rpartition("/")[0]) for path in paths], pa.string())
        (folder / part.name).unlink()
        made[part] = _write_part(folder, [table.set_column(1, "label", found)])
    return [made[part] for part in parts]
