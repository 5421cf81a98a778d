"""The parts of a snapshot: immutable Parquet files of inspected items, each named by the hash of its rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline import pixels
from pipeline.alike import SIDE
from pipeline.collect.content import content_of, content_of_table, noted
from pipeline.collect.door import OPEN, OWN, Door
from pipeline.collect.items import RawItem
from pipeline.decisions import Decisions
from pipeline.generated import Generated
from pipeline.manifest import schema
from pipeline.media.image import Inspected, Inspection
from pipeline.values import Part

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

GROUP_ROWS = 2000
TEXTS = ("label", "split", "format", "mode", "problem", "source", "unit", "stripped")  # few different ones


class Known(NamedTuple):
    """What an earlier collection found of the same bytes: they need not be decoded again. pixels: [H, W, C] or None."""

    inspection: Inspection
    pixels: NDArray[np.uint8] | None


class Rows(NamedTuple):
    """Inspected items, and their pixels where those are to be kept, uint8 [N, H, W, C].

    forgotten: by unit, how many were kept out because they are not to come back. content: what they add to the
    snapshot's id.
    """

    table: pa.Table
    pixels: NDArray[np.uint8] | None
    forgotten: Counter[str]
    content: int


@dataclass(frozen=True)
class Chunk:
    """Items of one source that are inspected together. units: the file each is in; known: by place among the items."""

    source: str
    units: list[str]
    items: list[RawItem]
    known: dict[int, Known]
    door: Door = OPEN


class _Entry(NamedTuple):
    """An item as it is kept. original: the hash of what was read, where that is not what is kept. marked: the batch of
    ours that its mark told."""

    item: RawItem
    unit: str
    sha256: str
    original: str | None
    stripped: str | None
    known: Known | None
    marked: str | None


def inspected(chunk: Chunk) -> Rows:
    """Each item as a row, but for those that were forgotten."""
    import pyarrow as pa

    entries, forgotten = _admitted(chunk)
    if not entries:
        return Rows(schema().empty_table(), None, forgotten, 0)
    contents = [entry.item.data for entry in entries]
    own = chunk.door.own
    inspections, block, areas = _inspections(
        contents, {row: e.known for row, e in enumerate(entries) if e.known}, SIDE if own else 0
    )
    *columns, problems = zip(*inspections, strict=True)
    images = pa.StructArray.from_arrays(
        [pa.array(contents, pa.binary()), pa.array([text(entry.item.path) for entry in entries], pa.string())],
        ["bytes", "path"],
    )
    labels = [None if entry.item.label is None else text(entry.item.label) for entry in entries]
    why = [entry.item.problem or problem for entry, problem in zip(entries, problems, strict=True)]
    why = _own_named(own, entries, areas, why)
    sizes, splits = list(map(len, contents)), [entry.item.split for entry in entries]
    places = [[chunk.source] * len(contents), [text(entry.unit) for entry in entries], [False] * len(contents)]
    origins = [[entry.original for entry in entries], [entry.stripped for entry in entries]]
    hashes = [entry.sha256 for entry in entries]
    values = [labels, splits, hashes, sizes, *columns, why, *places, *origins]
    arrays = [pa.array(v, field.type) for v, field in zip(values, list(schema())[1:], strict=True)]
    return Rows(
        pa.Table.from_arrays([images, *arrays], schema=schema()), block, forgotten, content_of(hashes, labels, splits)
    )


def _admitted(chunk: Chunk) -> tuple[list[_Entry], Counter[str]]:
    """The items that may stay, and of the others how many there are in each unit."""
    gone, entries, forgotten = chunk.door.forgotten, [], Counter[str]()
    for row, (item, unit) in enumerate(zip(chunk.items, chunk.units, strict=True)):
        entry = _entry(item, unit, chunk.known.get(row), chunk.door)
        if gone.hold(entry.sha256) or gone.hold(entry.original):
            forgotten[text(unit)] += 1
        else:
            entries.append(entry)
    return entries, forgotten


def _entry(item: RawItem, unit: str, known: Known | None, door: Door) -> _Entry:
    """Without what the file tells of people, places and devices; without any bytes where that can't be taken out."""
    from pipeline.media.metadata import MetadataError, Stripped, stripped

    try:
        kept = stripped(item.data)
    except MetadataError as error:
        kept, known = Stripped(b"", ()), None
        item = item._replace(problem=item.problem or f"metadata can't be taken out: {error}")
    marked = door.marked(item.data) if known is None else None
    sha256, original = hashlib.sha256(kept.data).hexdigest(), None
    if kept.data is not item.data:
        original, item = hashlib.sha256(item.data).hexdigest(), item._replace(data=kept.data)
    return _Entry(item, unit, sha256, original, ", ".join(kept.kinds) or None, known, marked)


def _own_named(
    own: Generated | None, entries: Sequence[_Entry], areas: NDArray[np.uint8] | None, why: Sequence[str | None]
) -> list[str | None]:
    """The problems, with those of images that we made ourselves: by their mark, their bytes, or how they look.

    An image that was known before stands, also where a generated one is like it: that one was learned from it.
    """
    named = list(why)
    for row, entry in enumerate(entries):
        batch = entry.marked
        if batch is None and own:
            batch = own.batch_of(entry.original or entry.sha256) or own.batch_of(entry.sha256)
        if batch and named[row] is None:
            named[row] = f"{OWN}: in batch {batch}"
    fresh = [row for row, entry in enumerate(entries) if entry.known is None]
    if own and areas is not None:
        for place, batch in own.like(areas):
            row = fresh[place]
            named[row] = named[row] or f"{OWN}: near-copy of an image in batch {batch}"
    return named


def _inspections(contents: Sequence[bytes], known: dict[int, Known], areas_side: int) -> Inspected:
    """areas: of those alone that are not known."""
    from pipeline.media.image import inspect_all, stacked

    fresh = [row for row in range(len(contents)) if row not in known]
    looked_at = inspect_all([contents[row] for row in fresh], areas_side)
    found, block, areas = looked_at
    if not known:
        return looked_at
    inspections, looked = dict(zip(fresh, found, strict=True)), {row: entry.pixels for row, entry in known.items()}
    inspections |= {row: entry.inspection for row, entry in known.items()}
    looked |= {row: None if block is None else block[place] for place, row in enumerate(fresh)}
    ordered = [inspections[row] for row in range(len(contents))]
    return Inspected(ordered, stacked([(e.problem is None, looked[row]) for row, e in enumerate(ordered)]), areas)


def write_group(folder: Path, kept: Path, group: list[Rows]) -> Part:
    """A part in `folder`, and its pixels in `kept` where every row's are known and alike."""
    import numpy as np
    import pyarrow as pa

    part = write_part(folder, pa.concat_tables([rows.table for rows in group]), sum(rows.content for rows in group))
    known, filled = (
        [rows.pixels for rows in group if rows.pixels is not None],
        [rows for rows in group if len(rows.table)],
    )
    if known and len(known) == len(filled) and len({block.shape[1:] for block in known}) == 1:
        pixels.keep(kept, part.name, np.concatenate(known))
    return part


def write_part(folder: Path, table: pa.Table, content: int) -> Part:
    """Name it by the hash of its rows: the same rows, the same name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = pa.chunked_array([chunk.field("path") for chunk in table["image"].chunks], pa.string())
    names = ("sha256", "split", "problem", "label", "source", "unit", "original")
    accepted = table["accepted"].cast(pa.string())
    rows = joined([*(table[name] for name in names), accepted, paths], "\0", "\0\0")
    part = noted(f"{digest(rows)}.parquet", table, content)
    pq.write_table(
        table,
        folder / part.name,
        row_group_size=GROUP_ROWS,
        use_dictionary=list(TEXTS),
        compression={"image.bytes": "NONE"} | dict.fromkeys(["image.path", *table.schema.names[1:]], "ZSTD"),
    )
    return part


def changed_part(
    folder: Path, kept: Path, source: Path, change: Callable[[pa.Table], tuple[pa.Table, NDArray[np.int64]]]
) -> Part | None:
    """A part anew in `folder`, with its pixels; None where no row is left.

    change: of the table, and the rows of the old one that stand in the new one.
    """
    import pyarrow.parquet as pq

    table, rows = change(pq.read_table(source))
    if not len(table):
        return None
    part = write_part(folder, table, content_of_table(table))
    if part.name != source.name and (block := pixels.kept(kept, source.name)) is not None:
        pixels.keep(kept, part.name, block[rows])
    return part


def decided(folder: Path, kept: Path, part: Part, decisions: Decisions) -> Part:
    """The part as people decided on its items; the same one where nothing of it is decided otherwise."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = pq.read_table(folder / part.name, columns=["sha256", "label", "accepted", "problem"])
    hashes, labels, accepted, problems = (columns[name].to_pylist() for name in columns.schema.names)
    now = {
        "label": [decisions.labels.get(sha256, label) for sha256, label in zip(hashes, labels, strict=True)],
        "accepted": [old or sha256 in decisions.accepted for sha256, old in zip(hashes, accepted, strict=True)],
    }
    welcome = zip(problems, now["accepted"], strict=True)
    now["problem"] = [None if accept and why and why.startswith(OWN) else why for why, accept in welcome]
    if (now["label"], now["accepted"]) == (labels, accepted):
        return part

    def change(table: pa.Table) -> tuple[pa.Table, NDArray[np.int64]]:
        for name, values in now.items():
            place = table.schema.get_field_index(name)
            table = table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))
        return table, np.arange(len(table))

    changed = changed_part(folder, kept, folder / part.name, change)
    (folder / part.name).unlink()
    return changed or part


def joined(columns: Sequence[pa.ChunkedArray], separator: str, null: str) -> pa.ChunkedArray:
    """One text a row."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*columns, separator, null_handling="replace", null_replacement=null)


def digest(texts: pa.ChunkedArray) -> str:
    """16 hex digits of the hash of the texts."""
    import numpy as np

    whole = texts.combine_chunks()
    _, offsets, data = whole.buffers()
    places = np.frombuffer(offsets, np.int32)[whole.offset : whole.offset + len(whole) + 1]
    found = hashlib.sha256((places - places[0]).tobytes())
    found.update(memoryview(data)[places[0] : places[-1]])
    return found.hexdigest()[:16]


def text(name: str) -> str:
    """Names that are not UTF-8 keep their bytes visible, as does a NUL, which separates columns in a part's hash."""
    if name.isascii() and "\0" not in name:
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\0", "\\x00")
