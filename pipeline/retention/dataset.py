"""Versions of the dataset, and the objects that DVC keeps, as retention sees them.

Who put an object into a remote can't be told: what a folder there names that is of no version here is needed by that.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline import stages
from pipeline.adapters.objects import CACHE, FOLDER, Objects, Told
from pipeline.adapters.references import LOCK, Reference
from pipeline.adapters.versions import Versions
from pipeline.dataset.history import Version, rewrite_version, tags, versions
from pipeline.dataset.traces import SHARDS
from pipeline.retention.plan import Key, Kind, Root, Thing


@dataclass(frozen=True)
class Place:
    """What one of DVC's places has. folders: of each, the ids of its files; shards: of those that are, the snapshot."""

    place: Objects
    kind: Kind
    objects: Mapping[str, Told]
    folders: Mapping[str, frozenset[str]]
    shards: Mapping[str, str]

    def key(self, oid: str) -> Key:
        return Key(self.kind, f"{self.place.name}/{oid}")


def snapshot_key(version: Version) -> Key:
    return Key("snapshots", str(version.number))


def looked_into(workspace: Path, place: Objects) -> Place:
    """A cache that is not within the workspace may be other people's too, as a remote is. Raises ServiceError."""
    own = place.name == CACHE and Path(place.where).is_relative_to(workspace)
    objects = place.told()
    entries = {oid: place.entries(oid) for oid in objects if oid.endswith(FOLDER)}
    shards = {}
    for folder, files in entries.items():
        if files.get(SHARDS) in objects:
            with place.open(files[SHARDS]) as file, suppress(ValueError, KeyError, TypeError):
                shards[folder] = str(json.load(file)["snapshot"])
    folders = {folder: frozenset(files.values()) for folder, files in entries.items()}
    return Place(place, "cache" if own else "remotes", objects, folders, shards)


def known_by_id(known: Sequence[Version]) -> dict[str, frozenset[Key]]:
    """The versions with such a content, by its id."""
    found = defaultdict[str, set[Key]](set)
    for version in known:
        for name in version.ids:
            found[name].add(snapshot_key(version))
    return {name: frozenset(keys) for name, keys in found.items()}


def things(known: Sequence[Version], looks: Sequence[Place]) -> Iterator[Thing]:
    stored, by_id = _stored(known), known_by_id(known)
    for version in known:
        if not version.dropped:
            needs = frozenset(p.key(oid) for p in looks for oid in _folders_of(version) if oid in p.objects)
            yield Thing(snapshot_key(version), datetime.fromisoformat(version.at), needs=needs)
    for look in looks:
        made_of = {folder: by_id.get(snapshot, frozenset[Key]()) for folder, snapshot in look.shards.items()}
        of = defaultdict[str, frozenset[Key]](frozenset)
        for folder, files in look.folders.items():
            of[folder] |= stored.get(folder, frozenset()) | made_of.get(folder, frozenset())
            for oid in files:
                of[oid] |= of[folder]
        for oid, told in look.objects.items():
            needs = frozenset(look.key(one) for one in look.folders.get(oid, ()) if one in look.objects)
            yield Thing(look.key(oid), told.at, told.size, needs, of[oid])


def roots(
    known: Sequence[Version],
    looks: Sequence[Place],
    references: Sequence[Reference],
    here: str,
    names: Mapping[str, int],
) -> Iterator[Root]:
    """here: the snapshot's folder that stands in the workspace, or empty; names: tags, with their versions' numbers."""
    kept = [version for version in known if not version.dropped]
    if known:
        yield Root("the newest version", frozenset({snapshot_key(known[-1])}))
    yield Root("stands in the workspace", frozenset(snapshot_key(v) for v in kept if v.stored.md5 == here))
    for name, number in sorted(names.items()):
        yield Root(f"tag {name}", frozenset(snapshot_key(v) for v in kept if v.number == number))
    stored = _stored(known).keys()
    for reference in references:
        named = set(reference.lock)
        for text in reference.versions:
            with suppress(ValueError):
                named |= _folders_of(Version.model_validate_json(text)) - stored  # of those here it is decided here
        why = LOCK if reference.name == LOCK else f"{reference.name} of git"
        objects = (look.key(oid) for look in looks for oid in named if oid in look.objects)
        yield Root(why, frozenset([*objects, *(snapshot_key(v) for v in kept if v.stored.md5 in reference.lock)]))


def drop(workspace: Path, numbers: Sequence[int], at: str) -> list[int]:
    """Have it known that the files of these versions are let go, but of one that was named in between."""
    named, done = set(tags(workspace).values()), []
    for version in versions(workspace):
        if version.number in numbers and version.number not in named:
            rewrite_version(workspace, version.model_copy(update={"dropped": at}))
            done.append(version.number)
    return done


def delete(look: Place, oids: Sequence[str]) -> None:
    """Files first: a run that is killed midway leaves the folders, which tell the next one of the rest."""
    look.place.delete(sorted(oids, key=lambda oid: (oid in look.folders, oid)))


def _stored(known: Sequence[Version]) -> dict[str, frozenset[Key]]:
    """By the id of a folder, the versions that it is of."""
    found = defaultdict[str, set[Key]](set)
    for version in known:
        for oid in _folders_of(version):
            found[oid].add(snapshot_key(version))
    return {oid: frozenset(keys) for oid, keys in found.items()}


def _folders_of(version: Version) -> set[str]:
    return {stored.md5 for stored in (version.stored, version.docs) if stored}


def here(workspace: Path) -> str:
    """The snapshot that dvc.lock knows; empty where nothing was collected yet."""
    try:
        return str(Versions(workspace).stored("collect", str(stages.SNAPSHOT))["md5"])
    except (OSError, KeyError, TypeError, StopIteration):
        return ""
