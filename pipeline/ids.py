"""Which run, snapshot, model and batch is at work: for logs and traces, and handed down to every process started."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

NAMES = ("run", "snapshot", "model", "batch")
SPAN = "TRACEPARENT"  # W3C's name and form: of the span that is open now
_VARIABLES = {name: f"GENLOOP_{name.upper()}_ID" for name in NAMES}


def ids() -> dict[str, str]:
    """Those that are known, by name."""
    return {name: told for name, variable in _VARIABLES.items() if (told := os.environ.get(variable))}


def note(**known: str) -> None:
    """Have it known from now on; where it is about a run, `known_as` around the run takes it back."""
    os.environ.update({_VARIABLES[name]: told for name, told in known.items()})


@contextmanager
def known_as(**known: str) -> Iterator[None]:
    """While inside; afterwards what was known before is."""
    before = handed_down()
    note(**known)
    try:
        yield
    finally:
        take_over(before)


def handed_down() -> dict[str, str]:
    """As variables. Children have them by their environment, but for those that a server forks which began before."""
    return {name: told for name in (*_VARIABLES.values(), SPAN) if (told := os.environ.get(name))}


def take_over(handed: Mapping[str, str]) -> None:
    for name in (*_VARIABLES.values(), SPAN):
        os.environ.pop(name, None)
    os.environ.update(handed)
