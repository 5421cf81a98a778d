"""Outcomes and verdicts out of files that other systems and people wrote: CSV, JSON lines, Parquet, Label Studio."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from pipeline.errors import SourceError
from pipeline.feedback.csv_rows import rows_of_csv
from pipeline.feedback.json_rows import rows_of_array, rows_of_lines
from pipeline.feedback.label_studio import is_task, told_of_task
from pipeline.feedback.parquet_rows import rows_of_parquet
from pipeline.feedback.rows import BOM, Raw, Told, keys_of, refused, told
from pipeline.reviews import Refused

LOOK_BYTES = 4096
OTHERS = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PK\3\4": "a ZIP, as Excel's own files are",
    b"\x1f\x8b": "packed by gzip",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
}

File = Path | bytes | IO[bytes]


def read_feedback(file: File, name: str, now: datetime | None = None) -> Iterator[Told | Refused]:
    """What a file tells, row by row, and the rows that tell nothing, with the reason; what it is, its bytes tell.

    file: a path, bytes, or what is open for reading and can seek. name: of it, for who reads `Refused` and errors.
    now: times may not lie in its future. Memory does not grow with the file. Raises SourceError, with the first that
    is asked for, where the file can't be read or is none of these; rows: see pipeline/feedback/rows.py.
    """
    now = now or datetime.now(UTC)
    try:
        with file.open("rb") if isinstance(file, Path) else nullcontext(_opened(file)) as opened:
            for raw in _rows(opened, name):
                yield from _told(raw, name, now)
    except OSError as error:
        raise SourceError(
            f"can't be read: {error.strerror or error}", where=name, remedy="see path and rights"
        ) from None


def _opened(file: bytes | IO[bytes]) -> IO[bytes]:
    return io.BytesIO(file) if isinstance(file, bytes) else file


def _rows(file: IO[bytes], name: str) -> Iterator[Raw]:
    begin = file.read(LOOK_BYTES)
    file.seek(0)
    for magic, what in OTHERS.items():
        if begin.startswith(magic):
            raise SourceError(f"it is {what}", where=name, remedy="give it as CSV in UTF-8, JSON or Parquet, unpacked")
    if begin.startswith(b"PAR1"):
        return rows_of_parquet(file, name)
    first = begin.removeprefix(BOM).lstrip()[:1]
    if not first:
        raise SourceError("nothing is in it", where=name)
    if first == b"[":
        return rows_of_array(file, name)
    return rows_of_lines(file, name) if first == b"{" else rows_of_csv(file, name)


def _told(raw: Raw, name: str, now: datetime) -> Iterator[Told | Refused]:
    if is_task(raw.cells):
        for found in told_of_task(raw.cells, now):
            yield refused(raw, name, found) if isinstance(found, ValueError) else found
        return
    try:
        yield told(raw._replace(cells=keys_of(raw.cells)), now)
    except ValueError as error:
        yield refused(raw, name, error)
