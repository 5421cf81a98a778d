"""Collect: what is new at the sources, inspected, into a snapshot of immutable parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from pipeline import pixels
from pipeline.collect.before import Before, Memory, Plan, read_before
from pipeline.collect.chunks import pieces, wanted
from pipeline.collect.content import content_id
from pipeline.collect.decoding import inspected_pieces, prepare_workers
from pipeline.collect.door import Door, door_of
from pipeline.collect.ledger import Unit, name_of, write_ledger
from pipeline.collect.parts import decided, text
from pipeline.collect.sources import Listing, listing
from pipeline.collect.staging import Entry, Staging
from pipeline.collect.writer import Writer
from pipeline.decisions import read_decisions
from pipeline.errors import SourceError
from pipeline.files import link, recover, replacing_folder, sha256_json, write_json
from pipeline.settings import Collect, Source
from pipeline.values import Origin, Part, Snapshot


def collect(
    settings: Collect,
    workspace: Path,
    out: Path,
    kept: Path,
    ledgers: Path,
    progress: Callable[[int], None] = lambda done: None,
    only: Sequence[str] = (),
    generated: Path | None = None,
) -> Snapshot:
    """Bring `parts/*.parquet` and `snapshot.json` in `out` up to what the sources have, whole or not at all.

    kept: pixels of small images; ledgers: what the snapshot was read from, and what was read before a kill;
    generated: what is noted of our own batches' images, which are not to come back unless the settings keep them.
    only: names of the sources to look at; the others keep their items. What people decided on single items, in the
    workspace's decisions, is done to all. Raises SourceError where a source can't be read
    or none holds an image.
    """
    recover(out)
    before = read_before(out, kept, ledgers)
    chosen = {source.name: source for source in settings.all if not only or source.name in only}
    listings = {name: _filtered(source, listing(source.uri, workspace)) for name, source in chosen.items()}
    keys = {name: _key(source, settings, listings[name].root) for name, source in chosen.items()}
    plan = before.plan(keys, listings, bool(only))
    if any(plan.wanted.values()):
        prepare_workers()
    staging = Staging(ledgers / "staged", sha256_json([before.name, sorted(keys.items()), sorted(plan.wanted)])[:16])
    staging.begin()
    writer = Writer(staging, kept, staging.entries(_current(listings)))
    door = door_of(workspace, generated if settings.generated == "reject" else None)
    _read(settings, workspace, chosen, listings, plan, Memory(before, plan.gone), door, writer, progress)
    units = [*plan.held, *(unit for _, made in writer.entries for unit in made)]
    with replacing_folder(out) as folder:
        parts = _parts(workspace, before, plan, staging, writer.entries, kept, folder / "parts")
        snapshot = _snapshot(parts, settings, units)
        write_json(folder / "snapshot.json", snapshot.model_dump(mode="json"))
        others = {name: key for name, key in before.ledger.keys.items() if only}
        write_ledger(ledgers / f"{name_of(snapshot)}.parquet", others | keys, units)
    pixels.prune(kept, (part.name for part in snapshot.parts))
    _tidy(ledgers, name_of(snapshot))
    return snapshot


def _read(
    settings: Collect,
    workspace: Path,
    chosen: Mapping[str, Source],
    listings: Mapping[str, Listing],
    plan: Plan,
    memory: Memory,
    door: Door,
    writer: Writer,
    progress: Callable[[int], None],
) -> None:
    """Inspect and write every wanted unit that is not written yet."""
    read = {(unit.source, unit.unit) for _, units in writer.entries for unit in units}
    stream = chain.from_iterable(
        pieces(
            source,
            workspace,
            settings.max_item_bytes,
            listings[name],
            (unit for unit in plan.wanted[name] if (name, text(unit)) not in read),
            memory if memory else None,
            door,
        )
        for name, source in chosen.items()
    )
    done = 0
    for piece, rows in inspected_pieces(stream):
        writer.take(piece, rows)
        done += len(rows.table)
        progress(done)
    writer.commit()


def _parts(
    workspace: Path,
    before: Before,
    plan: Plan,
    staging: Staging,
    entries: Sequence[Entry],
    kept: Path,
    folder: Path,
) -> set[Part]:
    """What stays of the old parts, and the new ones, in `folder`, as people decided on their items."""
    folder.mkdir()
    parts = set(before.remaining(plan.gone, folder))
    for part in {part for made, _ in entries for part in made}:
        link(staging.parts / part.name, folder / part.name)
        parts.add(part)
    if decisions := read_decisions(workspace):
        parts = {decided(folder, kept, part, decisions) for part in parts}
    return parts


def _filtered(source: Source, found: Listing) -> Listing:
    """Without the files that the source's filter leaves out; what is inside a container is filtered when it is read."""
    if not source.include and not source.exclude:
        return found
    stamps = {unit: stamp for unit, stamp in found.stamps.items() if unit in found.containers or wanted(source, unit)}
    if not stamps:
        raise SourceError(f"the filter of source {source.name} leaves nothing", where=source.uri, remedy="mend it")
    return replace(found, stamps=stamps)


def _key(source: Source, settings: Collect, root: str) -> str:
    """The hash of all but its files that decides what a source's items are."""
    rules = source.model_dump(exclude={"licence", "consent"})
    return sha256_json([rules, _missing(source), settings.max_item_bytes, settings.generated, root])[:16]


def _missing(source: Source) -> list[str]:
    return [right for right in source.require if not getattr(source, right)]


def _current(listings: Mapping[str, Listing]) -> Callable[[Unit], bool]:
    """Whether a unit is as it was when it was read, or what it was is unknown: it is tried again another time."""

    def current(unit: Unit) -> bool:
        found = listings.get(unit.source)
        now = found.stamps.get(unit.unit) if found else None
        return now is not None and unit.stamp in ("", now)

    return current


def _snapshot(parts: set[Part], settings: Collect, units: Sequence[Unit]) -> Snapshot:
    """Raises SourceError where none of the parts holds an image."""
    ordered = tuple(sorted(parts, key=lambda part: part.name))
    if not any(part.images for part in ordered):
        where = ", ".join(source.uri for source in settings.all)
        raise SourceError("no images in the source", where=where, remedy="see what formats are read")
    origins = (Origin(**source.model_dump(include={"name", "uri", "licence", "consent"})) for source in settings.all)
    return Snapshot(
        id=content_id(ordered),
        items=sum(part.items for part in ordered),
        ignored=sum(unit.ignored for unit in units),
        forgotten=sum(unit.forgotten for unit in units),
        parts=ordered,
        sources=tuple(origins),
    )


def _tidy(ledgers: Path, name: str) -> None:
    """The snapshot stands: what led to it is of no more use."""
    shutil.rmtree(ledgers / "staged", ignore_errors=True)
    for path in ledgers.iterdir():
        if path.name != f"{name}.parquet":
            path.unlink()
