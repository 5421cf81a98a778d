"""What people decided about single items: other labels, and rejected ones that are good all the same.

A file of the workspace, one line a decision, added to and never rewritten; the last word on an item holds.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
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


def add_decisions(workspace: Path, made: Iterable[Decision]) -> None:
    path, out = workspace / NAME, io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    if not path.exists():
        rows.writerow(Decision._fields)
    rows.writerows(made)
    write_text(path, (path.read_text() if path.exists() else "") + out.getvalue())
