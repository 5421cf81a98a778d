"""A version of the dataset of which only number, time and files matter."""

from __future__ import annotations

from pipeline.dataset.history import Stored, Version
from pipeline.dataset.profile import Profile


def told_version(number: int, at: str, stored: Stored, dropped: str = "") -> Version:
    """Its id is `s` and the number."""
    return Version(
        number=number,
        id=f"s{number}",
        at=at,
        by="me",
        why="",
        stored=stored,
        items=1,
        accepted=1,
        rejected=0,
        reasons={},
        added=1,
        removed=0,
        relabelled=0,
        drift={},
        sources=(),
        profile=Profile(labels={}, brightness=(), sides=()),
        dropped=dropped,
    )
