"""What keeps an item out of a snapshot whatever it shows: it was forgotten, or this system made it itself."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from pipeline import tombstones
from pipeline.files import sha256_file
from pipeline.generated import Generated, noted, read_generated
from pipeline.marks.own import own_certificates
from pipeline.marks.reading import ITEM, read_mark
from pipeline.tombstones import Tombstones, read_tombstones

OWN = "made by this system"


class Door(NamedTuple):
    """Small enough to go with every chunk to another process. stamps: of what it goes by; empty where that is none.

    generated: the folder where our own batches' images are noted. certificates: of our own marks, PEM.
    """

    workspace: Path
    generated: Path
    forgotten_stamp: str = ""
    generated_stamp: str = ""
    certificates: bytes = b""

    @property
    def forgotten(self) -> Tombstones:
        return _tombstones(self) if self.forgotten_stamp else Tombstones()

    @property
    def own(self) -> Generated | None:
        return _generated(self) if self.generated_stamp else None

    def marked(self, data: bytes) -> str | None:
        """The batch that a file's own mark says it is from, where that mark is ours."""
        if not self.certificates or ITEM.encode() not in data:
            return None
        mark = read_mark(data, certificates=self.certificates)
        return mark.claim.batch if mark.trusted and mark.claim else None


OPEN = Door(Path(), Path())


def door_of(workspace: Path, generated: Path | None) -> Door:
    """generated: None lets our own images in. Raises ParamsError where the workspace's tombstones can't be read."""
    stamp = sha256_file(workspace / tombstones.NAME) if read_tombstones(workspace) else ""
    if generated is None:
        return Door(workspace, Path(), stamp)
    return Door(workspace, generated, stamp, " ".join(noted(generated)), own_certificates(workspace))


@lru_cache(1)
def _tombstones(door: Door) -> Tombstones:
    return read_tombstones(door.workspace)


@lru_cache(1)
def _generated(door: Door) -> Generated:
    return read_generated(door.generated)
