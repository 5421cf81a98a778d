"""A dataset's day: updates, versions, corrections, and the way back."""

from __future__ import annotations

import csv
import getpass
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from flows.staleness import NONE, bring_up_to_date, collect_if_changed, forget_collected, note_as_collected
from pipeline import decisions
from pipeline.adapters.versions import Versions
from pipeline.collect.door import OWN
from pipeline.dataset.diff import Difference, difference
from pipeline.dataset.history import Version, check_kept, parts_of, version_of, versions
from pipeline.dataset.lookup import rows_by_hash
from pipeline.dataset.record import SNAPSHOT, record
from pipeline.errors import ParamsError
from pipeline.files import readable_csv
from pipeline.settings import Params


def update(workspace: Path, params: Params, why: str, only: Sequence[str] = ()) -> Version | None:
    """Collect what is new, validate it, and record the version; None where nothing changed."""
    before = versions(workspace)[-1:]
    if before and before[0].restores and not only:
        forget_collected(workspace)
    collect_if_changed(workspace, params, only)
    bring_up_to_date(workspace, "validate")
    after = record(workspace, params, why)
    return None if before and before[0].number == after.number else after


def diff(workspace: Path, before: str, after: str) -> tuple[Version, Version, Difference]:
    one, other = version_of(workspace, before), version_of(workspace, after)
    store = Versions(workspace)
    return one, other, difference(*(parts_of(store, version) for version in (one, other)))


def restore(workspace: Path, params: Params, name: str) -> Version:
    """Bring a version's snapshot back, validate it, and record that as the newest version.

    It stands until the sources change, or `update` is asked to follow them again.
    """
    wanted = version_of(workspace, name)
    check_kept(wanted)
    Versions(workspace).restore("collect", SNAPSHOT, wanted.stored.model_dump())
    note_as_collected(workspace, params)
    bring_up_to_date(workspace, "validate")
    return record(workspace, params, f"restored version {wanted.number}", restores=wanted.number)


def push(workspace: Path) -> int:
    """Send every version that is kept to DVC's remote; how many files it lacked."""
    kept = [version for version in versions(workspace) if not version.dropped]
    stored = [stored.md5 for version in kept for stored in (version.stored, version.docs) if stored]
    return Versions(workspace).push_folders(stored)


def label(workspace: Path, params: Params, file: Path, why: str) -> Version | None:
    """Give items other labels, by a CSV with columns sha256 and label. Raises ParamsError, and changes nothing, where
    a row names no item or no label."""
    with readable_csv(file), file.open(newline="", encoding="utf-8-sig") as text:
        rows = list(csv.DictReader(text))
    if not rows or not {"sha256", "label"} <= rows[0].keys():
        raise ParamsError("no rows with columns sha256 and label", where=str(file), remedy="give both by name")
    known = rows_by_hash(workspace, [(row["sha256"] or "").strip() for row in rows])
    for number, row in enumerate(rows, 2):
        if (row["sha256"] or "").strip() not in known:
            raise ParamsError(f"line {number} names no item", where=str(file), remedy="nothing was changed; mend it")
        if not (row["label"] or "").strip():
            raise ParamsError(f"line {number} has no label", where=str(file), remedy="nothing was changed; mend it")
    made = [(known[r["sha256"].strip()]["sha256"], decisions.LABEL, r["label"].strip()) for r in rows]
    return _decide(workspace, params, made, why)


def accept(workspace: Path, params: Params, hashes: Sequence[str], why: str) -> Version | None:
    """Take rejected items in all the same. Raises ParamsError where one is not there or is no image."""
    known = rows_by_hash(workspace, hashes)
    for sha256 in hashes:
        if sha256 not in known:
            raise ParamsError("no such item", where=sha256, remedy="`genloop data quarantine --json` has the hashes")
        if (problem := known[sha256]["problem"]) and not problem.startswith(OWN):
            raise ParamsError(f"it can't be accepted: {problem}", where=sha256, remedy="mend it at its source")
    return _decide(workspace, params, [(known[sha256]["sha256"], decisions.ACCEPT, "") for sha256 in hashes], why)


def _decide(workspace: Path, params: Params, made: Sequence[tuple[str, str, str]], why: str) -> Version | None:
    at, by = datetime.now(UTC).isoformat(timespec="seconds"), getpass.getuser()
    decisions.add_decisions(workspace, [decisions.Decision(*entry, at, by) for entry in made])  # type: ignore[arg-type]
    return update(workspace, params, why, only=NONE)
