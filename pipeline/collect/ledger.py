"""What a snapshot was read from: each file of each source with its stamp, so that what is unchanged is known unread.

A cache under runs/, a file a snapshot, named by the snapshot's parts: one that is lost costs a reading, not a result.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.files import replacing, sha256_json
from pipeline.values import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 50_000


class Unit(NamedTuple):
    """A file of a source that was read whole. ignored: how many hidden files are in it; forgotten: how many items of it
    were kept out because they are not to come back."""

    source: str
    unit: str
    stamp: str
    ignored: int = 0
    forgotten: int = 0


@dataclass(frozen=True)
class Ledger:
    """keys: of each source, the hash of all that decides what its files become."""

    keys: Mapping[str, str] = field(default_factory=dict)
    table: pa.Table | None = None

    def units(self) -> Iterator[Unit]:
        if self.table is not None:
            for batch in self.table.to_batches(BATCH_ROWS):
                yield from map(Unit, *(batch.column(name).to_pylist() for name in Unit._fields))


def name_of(snapshot: Snapshot) -> str:
    return sha256_json([part.name for part in snapshot.parts])[:16]


def read_ledger(path: Path) -> Ledger:
    """What was written there; nothing where there is nothing, or nothing that can be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        return Ledger(json.loads(table.schema.metadata[b"genloop"]), table)
    except (OSError, pa.ArrowInvalid, KeyError, TypeError, ValueError):
        return Ledger()


def write_ledger(path: Path, keys: Mapping[str, str], units: Iterable[Unit]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, whole = pa.string(), pa.int64()
    columns = list(zip(*units, strict=True)) or [() for _ in Unit._fields]
    types = (text, text, text, whole, whole)
    schema = pa.schema(list(zip(Unit._fields, types, strict=True)))
    told = schema.with_metadata({b"genloop": json.dumps(dict(keys)).encode()})
    arrays = [pa.array(column, entry.type) for column, entry in zip(columns, schema, strict=True)]
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_arrays(arrays, schema=told), temporary, compression="ZSTD")
