"""What a source yields."""

from __future__ import annotations

from dataclasses import dataclass

IGNORED = "hidden file"
TOO_LARGE = "too large"


@dataclass(frozen=True)
class RawItem:
    """One file or row of a source; `data` is empty where `problem` is set."""

    path: str
    data: bytes
    label: str | None
    split: str
    problem: str | None
