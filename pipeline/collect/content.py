"""What a snapshot is called by: a hash that its parts add up to, whatever their order and however items are divided."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256, sha512
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.values import Part

if TYPE_CHECKING:
    import pyarrow as pa

MODULUS = 2**512
COLUMNS = ("sha256", "label", "split")


def content_of(hashes: Iterable[str], labels: Iterable[str | None], splits: Iterable[str]) -> int:
    """The sum of the items' hashes, for use modulo 2^512 (AdHash, Bellare and Micciancio 1997). No text has a NUL."""
    lines = (
        f"{found}\0{split}" if label is None else f"{found}\0{split}\0{label}"
        for found, label, split in zip(hashes, labels, splits, strict=True)
    )
    return sum(int.from_bytes(sha512(line.encode()).digest()) for line in lines)


def content_of_table(table: pa.Table) -> int:
    return content_of(*(table[name].to_pylist() for name in COLUMNS))


def with_content(part: Part, path: Path) -> Part:
    """A part as it is noted; one that was noted before content was is read."""
    import pyarrow.parquet as pq

    if part.content:
        return part
    with pq.ParquetFile(path) as file:
        table = file.read([*COLUMNS, "problem"])
    return noted(part.name, table, content_of_table(table))


def noted(name: str, table: pa.Table, content: int) -> Part:
    return Part(name=name, items=len(table), images=table["problem"].null_count, content=f"{content % MODULUS:0128x}")


def content_id(parts: Iterable[Part]) -> str:
    """16 hex digits of the hash of the set of (sha256, label, split) of all items."""
    parts = list(parts)
    total = sum(int(part.content, 16) for part in parts) % MODULUS
    return sha256(f"{sum(part.items for part in parts)} {total:0128x}".encode()).hexdigest()[:16]
