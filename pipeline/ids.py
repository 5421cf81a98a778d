"""Which run, snapshot, model and batch is at work: for logs and traces, and handed down to every process started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = ("run", "snapshot", "model", "batch")


def ids() -> dict[str, str]:
    """Those that are known, by name."""
    return {name: told for name in NAMES if (told := os.environ.get(_variable(name)))}


def note(**known: str) -> None:
    """Have it known from now on; where it is about a run, `known_as` around the run takes it back."""
    os.environ.update({_variable(name): told for name, told in known.items()})


@contextmanager
def known_as(**known: str) -> Iterator[None]:
    """While inside; afterwards what was known before is."""
    before = ids()
    note(**known)
    try:
        yield
    finally:
        for name in NAMES:
            os.environ.pop(_variable(name), None)
        note(**before)


def _variable(name: str) -> str:
    return f"GENLOOP_{name.upper()}_ID"
