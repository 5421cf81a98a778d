"""What was forgotten and must not come back: keyed hashes, which tell nobody without the key whose they are.

A file of the workspace, for git to keep. Its key is GENLOOP_TOMBSTONE_KEY, or else a file below var/ that the first
use makes.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from pipeline.environment import Environment
from pipeline.errors import ParamsError
from pipeline.files import write_new, write_text

NAME, KEY = Path("tombstones.csv"), Path("var/tombstones.key")
HEAD = ("key", "mark", "at")


@dataclass(frozen=True)
class Tombstones:
    """marks: of the hashes that are forgotten; hashes: some that are to be, as they are."""

    key: bytes = b""
    marks: frozenset[str] = frozenset()
    hashes: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.marks or self.hashes)

    def mark(self, sha256: str) -> str:
        return hmac.digest(self.key, sha256.encode(), "sha256").hex()

    def hold(self, sha256: str | None) -> bool:
        if sha256 is None or not self:
            return False
        return sha256 in self.hashes or (bool(self.marks) and self.mark(sha256) in self.marks)

    def holding(self, hashes: Sequence[str | None]) -> NDArray[np.bool_]:
        """bool [N]: which of the hashes are forgotten."""
        return np.fromiter(map(self.hold, hashes), bool, len(hashes))

    def rows(self, file: Path | IO[bytes]) -> NDArray[np.bool_]:
        """bool [N]: the rows of a Parquet file that are forgotten, by the hash of what is kept or of what was read."""
        import pyarrow.parquet as pq

        with pq.ParquetFile(file) as table:
            names = [name for name in ("sha256", "original") if name in table.schema_arrow.names]
            held: NDArray[np.bool_] = np.zeros(table.metadata.num_rows, bool)
            for name in names:
                held |= self.holding(table.read([name])[name].to_pylist())
        return held


def read_tombstones(workspace: Path) -> Tombstones:
    """Raises ParamsError where they were made with another key than the one that is here."""
    path = workspace / NAME
    if not path.exists():
        return Tombstones()
    key = _key(workspace)
    with path.open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    for number, row in enumerate(rows, 2):
        if len(row) != len(HEAD):
            raise ParamsError(f"line {number} is no tombstone", where=str(path), remedy="get the file back from git")
        if row[0] != _name_of(key):
            raise ParamsError(
                "the key that the tombstones were made with is not here",
                where=str(path),
                remedy=f"set GENLOOP_TOMBSTONE_KEY, or bring {KEY} from where they were made",
            )
    return Tombstones(key, frozenset(row[1] for row in rows))


def add_tombstones(workspace: Path, hashes: Iterable[str], at: str) -> Tombstones:
    """Those of the workspace, with these. at: ISO 8601."""
    known, path = read_tombstones(workspace), workspace / NAME
    key = known.key or _key(workspace) or _new_key(workspace)
    marks = sorted({Tombstones(key).mark(sha256) for sha256 in hashes} - known.marks)
    if marks:
        out = io.StringIO()
        rows = csv.writer(out, lineterminator="\n")
        rows.writerows([] if path.exists() else [HEAD])
        rows.writerows((_name_of(key), mark, at) for mark in marks)
        write_text(path, (path.read_text() if path.exists() else "") + out.getvalue())
    return Tombstones(key, known.marks | frozenset(marks))


def _key(workspace: Path) -> bytes:
    told, path = Environment().tombstone_key.get_secret_value(), workspace / KEY
    return told.encode() if told else path.read_text().strip().encode() if path.exists() else b""


def _new_key(workspace: Path) -> bytes:
    write_new(workspace / KEY, f"{secrets.token_hex(32)}\n".encode(), mode=0o600)
    return _key(workspace)


def _name_of(key: bytes) -> str:
    """Tells one key from another, and nothing of it."""
    return hashlib.sha256(b"name of " + key).hexdigest()[:8]
