"""What a source yields."""

from __future__ import annotations

from typing import NamedTuple

IGNORED = "hidden file"
TOO_LARGE = "too large"
NO_PERMISSION = "no permission to read"
CHANGING = "changed each time it was read"


class RawItem(NamedTuple):
    """One file or row of a source; `data` is empty where `problem` is set.

    `guessed`: the label is a guess by the path; what it is can be told when the stream has ended.
    """

    path: str
    data: bytes
    label: str | None
    split: str
    problem: str | None
    guessed: bool = False


class Unsteady(Exception):
    """What was read of a file is of no use: it changed meanwhile, or its connection broke for good."""
