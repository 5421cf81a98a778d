"""CSV of spreadsheets, streamed: with commas, semicolons or tabs between cells, and line ends in quoted ones."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import IO

from pipeline.errors import SourceError
from pipeline.feedback.json_rows import TOO_LONG, lines
from pipeline.feedback.rows import BOM, Raw, columns_of

SEPARATORS = ",;\t"


def rows_of_csv(file: IO[bytes], name: str) -> Iterator[Raw]:
    """place: of the row below the head. Raises SourceError where the first line is no head of ours.

    A quote that is never closed costs the rows up to csv's own limit of a cell, 128 KiB, and that is told.
    """
    text = _Lines(file)
    head = next(text, "")
    separator = max(SEPARATORS, key=head.count)
    try:
        columns = columns_of(next(csv.reader([head], delimiter=separator), []), name)
    except csv.Error as error:
        raise SourceError(f"no head of a table: {error}", where=name, remedy="save it as CSV in UTF-8") from None
    rows, place = csv.reader(text, delimiter=separator), 0
    while True:
        place += 1
        text.too_long = False
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield Raw(place, {}, "", f"no row: {error}")
            continue
        shown = separator.join(cells)
        if text.too_long:
            yield Raw(place, {}, shown, TOO_LONG)
        elif any(map(str.strip, cells)):
            fault = "" if len(cells) == len(columns) else f"{len(cells)} cells, where the head has {len(columns)}"
            yield Raw(place, dict(zip(columns, cells, strict=False)), shown, fault)


class _Lines:
    """For csv.reader, which takes several for one row where a quoted cell has them. too_long: one was, and is gone."""

    def __init__(self, file: IO[bytes]) -> None:
        self._lines, self._first, self.too_long = lines(file), True, False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if line is None:
            self.too_long = True
            return "\n"
        if self._first:
            self._first, line = False, line.removeprefix(BOM)
        return line.decode("utf-8", "surrogateescape")
