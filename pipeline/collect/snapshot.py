"""Collect: every item of a source, inspected, into immutable Parquet parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import pixels
from pipeline.collect.items import IGNORED, RawItem
from pipeline.collect.labels import settled
from pipeline.collect.sources import open_source
from pipeline.errors import SourceError
from pipeline.files import replacing_folder, write_json
from pipeline.parallel import each
from pipeline.settings import Collect
from pipeline.values import Part, Snapshot

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Rows = tuple[pa.Table, NDArray[np.uint8] | None]  # and their pixels, uint8 [N, H, W, C]

CHUNK_ITEMS = 500
CHUNK_BYTES = 8 * 2**20
INLINE_ITEMS = 2000
PART_ITEMS = 50_000
PART_BYTES = 64 * 2**20  # with the pixels that are kept
GROUP_ROWS = 2000
IMPORTS = ("pyarrow", "pipeline.media.image", "PIL.PngImagePlugin", "PIL.JpegImagePlugin")


def collect(
    settings: Collect, workspace: Path, out: Path, kept: Path, progress: Callable[[int], None] | None = None
) -> Snapshot:
    """Write `parts/*.parquet` and `snapshot.json` to `out`, whole or not at all; pixels of small images to `kept`.

    Raises SourceError where the source can't be read or holds no image.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    tally = _Tally()
    with replacing_folder(out) as folder:
        (folder / "parts").mkdir()
        items = tally.seen(open_source(settings.source, workspace, settings.max_item_bytes))
        parts: list[Part] = []
        for chunks in _grouped(tally.rows(_inspected(_chunks(items)), progress)):
            part = _write_part(folder / "parts", [table for table, _ in chunks])
            _keep_pixels(kept, part, [block for _, block in chunks])
            parts.append(part)
        if not tally.images:
            raise SourceError("no images in the source", where=settings.source, remedy="see what formats are read")
        if (labels := settled(tally.guesses)) != tally.guesses:
            parts = _relabelled(folder / "parts", kept, parts, labels)
            tally.lines = _lines_of(folder / "parts", parts)
        lines = pa.chunked_array(tally.lines, pa.string())
        snapshot = Snapshot(
            id=_digest(lines.take(pc.sort_indices(lines))),
            items=tally.items,
            ignored=tally.ignored,
            parts=tuple(sorted(set(parts), key=lambda part: part.name)),
        )
        write_json(folder / "snapshot.json", snapshot.model_dump(mode="json"))
    pixels.prune(kept, (part.name for part in snapshot.parts))
    return snapshot


class _Tally:
    """What is counted while items stream by."""

    def __init__(self) -> None:
        self.lines: list[pa.Array] = []
        self.guesses: dict[str, str | None] = {}  # a folder's label
        self.items = self.images = self.ignored = 0

    def seen(self, items: Iterable[RawItem]) -> Iterator[RawItem]:
        for item in items:
            if item.problem == IGNORED:
                self.ignored += 1
            else:
                if item.guessed:
                    self.guesses[item.path.rpartition("/")[0]] = item.label
                yield item

    def rows(self, chunks: Iterable[Rows], progress: Callable[[int], None] | None) -> Iterator[Rows]:
        for table, block in chunks:
            self.lines.append(_lines(table))
            self.items += len(table)
            self.images += table["problem"].null_count
            if progress:
                progress(self.items)
            yield table, block


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


def _inspected(chunks: Iterator[list[RawItem]]) -> Iterator[Rows]:
    """In order. Small sources inline, larger ones in processes with a bounded queue."""
    first: list[list[RawItem]] = []
    while sum(map(len, first)) < INLINE_ITEMS and sum(len(i.data) for c in first for i in c) < PART_BYTES:
        if (chunk := next(chunks, None)) is None:
            yield from map(_table, first)
            return
        first.append(chunk)
    yield from each(_table, chain(first, chunks), IMPORTS)


def _table(chunk: list[RawItem]) -> Rows:
    """Each item inspected, as rows; and their pixels, where they are to be kept."""
    import pyarrow as pa

    from pipeline.media.image import inspect_all

    schema, contents = _schema(), [item.data for item in chunk]
    inspections, block = inspect_all(contents)
    *columns, problems = zip(*inspections, strict=True)
    names = [_text(item.path) for item in chunk]
    images = pa.StructArray.from_arrays(
        [pa.array(contents, pa.binary()), pa.array(names, pa.string())], ["bytes", "path"]
    )
    labels = [None if item.label is None else _text(item.label) for item in chunk]
    sha256 = [hashlib.sha256(data).hexdigest() for data in contents]
    why = [item.problem or problem for item, problem in zip(chunk, problems, strict=True)]
    values = [labels, [item.split for item in chunk], sha256, list(map(len, contents)), *columns, why]
    arrays = [pa.array(v, field.type) for v, field in zip(values, list(schema)[1:], strict=True)]
    return pa.Table.from_arrays([images, *arrays], schema=schema), block


def _text(name: str) -> str:
    """Names that are not UTF-8 keep their bytes visible, as does a NUL, which separates columns in a part's hash."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, real, whole = pa.string(), pa.float32(), pa.int32()
    image = pa.struct([("bytes", pa.binary()), ("path", text)])
    fields = [("image", image), ("label", text), ("split", text), ("sha256", text), ("size_bytes", pa.int64())]
    fields += [("format", text), ("mode", text), ("width", whole), ("height", whole), ("brightness", real)]
    return pa.schema([*fields, ("contrast", real), ("dhash", text), ("problem", text)])


def _grouped(chunks: Iterable[Rows]) -> Iterator[list[Rows]]:
    group: list[Rows] = []
    items = size = 0
    for table, block in chunks:
        group.append((table, block))
        items += len(table)
        size += table.nbytes + (0 if block is None else block.nbytes)
        if items >= PART_ITEMS or size >= PART_BYTES:
            yield group
            group, items, size = [], 0, 0
    if group:
        yield group


def _keep_pixels(folder: Path, part: Part, blocks: list[NDArray[np.uint8] | None]) -> None:
    """Where every row's pixels are known and alike."""
    import numpy as np

    known = [block for block in blocks if block is not None]
    if len(known) == len(blocks) and len({block.shape[1:] for block in known}) == 1:
        pixels.keep(folder, part.name, np.concatenate(known))


def _write_part(folder: Path, tables: list[pa.Table]) -> Part:
    """Name it by the hash of its rows: the same rows, the same name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.concat_tables(tables)
    paths = pa.chunked_array([chunk.field("path") for chunk in table["image"].chunks], pa.string())
    rows = _joined([*(table[name] for name in ("sha256", "split", "problem", "label")), paths], "\0", "\0\0")
    part = Part(name=f"{_digest(rows)}.parquet", items=len(table))
    pq.write_table(
        table,
        folder / part.name,
        row_group_size=GROUP_ROWS,
        use_dictionary=["label", "split", "format", "mode", "problem"],
        compression={"image.bytes": "NONE"} | dict.fromkeys(["image.path", *table.schema.names[1:]], "ZSTD"),
    )
    return part


def _lines(table: pa.Table) -> pa.Array:
    """What the snapshot's id is the hash of."""
    return _joined([table[name] for name in ("sha256", "label", "split")], "\t", "").combine_chunks()


def _lines_of(folder: Path, parts: list[Part]) -> list[pa.Array]:
    import pyarrow.parquet as pq

    columns = ["sha256", "label", "split"]
    return [_lines(pq.read_table(folder / part.name, columns=columns)) for part in parts]


def _joined(columns: Sequence[pa.ChunkedArray], separator: str, null: str) -> pa.ChunkedArray:
    """One text a row."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*columns, separator, null_handling="replace", null_replacement=null)


def _digest(texts: pa.ChunkedArray) -> str:
    """16 hex digits of the hash of the texts, a line each."""
    digest, end = hashlib.sha256(), ""
    for chunk in texts.chunks:
        digest.update((end + "\n".join(chunk.to_pylist())).encode())
        end = "\n" if len(chunk) else end
    return digest.hexdigest()[:16]


def _relabelled(folder: Path, kept: Path, parts: list[Part], labels: dict[str, str | None]) -> list[Part]:
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
        pixels.rename(kept, part.name, made[part].name)
    return [made[part] for part in parts]
