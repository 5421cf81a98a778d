"""What keeps an item out of a snapshot whatever it looks like: it was forgotten."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pipeline import tombstones
from pipeline.files import sha256_file
from pipeline.tombstones import Tombstones, read_tombstones


class Door(NamedTuple):
    """Small enough to go with every chunk to another process. stamp: of what it goes by; empty where that is none."""

    workspace: Path
    stamp: str

    @property
    def tombstones(self) -> Tombstones:
        return _tombstones(self)


OPEN = Door(Path(), "")


def door_of(workspace: Path) -> Door:
    """Raises ParamsError where the workspace's tombstones can't be read."""
    if not read_tombstones(workspace):
        return OPEN
    return Door(workspace, sha256_file(workspace / tombstones.NAME))


@lru_cache(1)
def _tombstones(door: Door) -> Tombstones:
    return read_tombstones(door.workspace) if door.stamp else Tombstones()
