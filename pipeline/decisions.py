"""What people decided about single items: other labels, and rejected ones that are good all the same.

A file of the workspace, one line a decision; the last word on an item holds. Only what is forgotten leaves it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from pipeline.errors import ParamsError
from pipeline.files import write_text

NAME = Path("decisions.csv")
LABEL, ACCEPT = "label", "accept"


class Decision(NamedTuple):
    """value: the label, where it is one. at: ISO 8601."""

    sha256: str
    action: Literal["label", "accept"]
    value: str
    at: str
    by: str


@dataclass(frozen=True)
class Decisions:
    """labels: by sha256; accepted: hashes."""

    labels: Mapping[str, str] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.labels or self.accepted)


def read_decisions(workspace: Path) -> Decisions:
    """Raises ParamsError where a line can't be read."""
    path = workspace / NAME
    if not path.exists():
        return Decisions()
    labels, accepted = dict[str, str](), set[str]()
    with path.open(newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if number == 1:
                continue
            if len(row) != len(Decision._fields) or row[1] not in (LABEL, ACCEPT):
                raise ParamsError(f"line {number} is no decision", where=str(path), remedy="mend or delete it")
            if row[1] == LABEL:
                labels[row[0]] = row[2]
            else:
                accepted.add(row[0])
    return Decisions(labels, frozenset(accepted))


def drop_decisions(workspace: Path, forgotten: Callable[[str], bool]) -> None:
    """Take away what was decided on items that are forgotten, and with it their hashes. forgotten: of a sha256."""
    path, out = workspace / NAME, io.StringIO()
    if not path.exists():
        return
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    left = [row for row in rows if row and not forgotten(row[0])]
    if len(left) < len(rows):
        csv.writer(out, lineterminator="\n").writerows(left)
        write_text(path, out.getvalue())


def add_decisions(workspace: Path, made: Iterable[Decision]) -> None:
    path, out = workspace / NAME, io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    if not path.exists():
        rows.writerow(Decision._fields)
    rows.writerows(made)
    write_text(path, (path.read_text() if path.exists() else "") + out.getvalue())
