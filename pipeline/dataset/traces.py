"""Where forgotten items stand among the objects that DVC keeps: files that hold them, and what was made of them.

It is told by what is in an object, not by who refers to it: other branches and clones of a workspace share its remotes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pipeline.adapters.objects import FOLDER, Objects
from pipeline.tombstones import Tombstones

PARQUET = b"PAR1"
SHARDS = "shards.json"
LEFT = ".tmp"  # not whole: what is in it can't be told
PICTURES = "samples.png"  # a folder with it shows training images beside what was generated


@dataclass(frozen=True)
class Look:
    """What was found in one place. held: files with some of it; folders: of each, its files by path."""

    place: Objects
    oids: frozenset[str]
    held: frozenset[str]
    folders: Mapping[str, Mapping[str, str]]

    def holds(self, folder: str) -> bool:
        return not self.held.isdisjoint(self.folders.get(folder, {}).values())

    def told(self, name: str) -> dict[str, Any]:
        """Of each folder that has a JSON file of that name, what is in it."""
        found = {}
        for folder, files in self.folders.items():
            if files.get(name) in self.oids:
                with self.place.open(files[name]) as file:
                    found[folder] = json.load(file)
        return found

    def snapshots(self) -> set[str]:
        """Ids of those that hold some of it."""
        return {told["id"] for folder, told in self.told("snapshot.json").items() if self.holds(folder)}

    def removable(self, snapshots: set[str]) -> list[str]:
        """Files that hold some of it, the folders that they stand in with their small files, what was made of the
        snapshots (shards, and pictures, which don't tell of which), and what a transfer left that was killed.

        In the order in which to remove them: a run that is killed midway leaves what tells the next one of the rest.
        """
        holding = {folder for folder in self.folders if self.holds(folder)}
        small = {
            oid for folder in holding for name, oid in self.folders[folder].items() if not name.endswith(".parquet")
        }
        made, telling = set[str](), set[str]()
        if snapshots:
            made = {folder for folder, told in self.told(SHARDS).items() if told["snapshot"] in snapshots}
            telling = {self.folders[folder][SHARDS] for folder in made}
            made |= {folder for folder, files in self.folders.items() if PICTURES in files}
        pixels = {oid for folder in made for oid in self.folders[folder].values()} - telling
        left = {oid for oid in self.oids if oid.endswith(LEFT)}
        steps = (left, pixels, small, made | holding, telling, self.held)
        return [oid for oid in dict.fromkeys(oid for step in steps for oid in sorted(step)) if oid in self.oids]


@dataclass
class Search:
    """Looks into one place after the other; an object that several have is read once."""

    tombstones: Tombstones
    _verdicts: dict[str, bool] = field(default_factory=dict)

    def look(self, place: Objects) -> Look:
        oids = place.all()
        folders = {oid: place.entries(oid) for oid in oids if oid.endswith(FOLDER)}
        for oid in oids:
            if oid not in self._verdicts and oid not in folders:
                with place.open(oid) as file:
                    self._verdicts[oid] = holds(file, self.tombstones)
        return Look(place, frozenset(oids), frozenset(filter(self._verdicts.get, oids)), folders)


def holds(file: IO[bytes], tombstones: Tombstones) -> bool:
    """Whether a file is Parquet with the hash of a forgotten item in it."""
    import pyarrow as pa

    if file.read(len(PARQUET)) != PARQUET:
        return False
    file.seek(0)
    try:
        return bool(tombstones.rows(file).any())
    except pa.ArrowInvalid:
        return False


def files_holding(folder: Path, tombstones: Tombstones) -> list[Path]:
    """The Parquet files below a folder that hold some of it."""
    found = []
    for path in sorted(folder.rglob("*.parquet")):
        with path.open("rb") as file:
            if holds(file, tombstones):
                found.append(path)
    return found
