"""A dataset's day: updates, versions, corrections, and the way back."""

from __future__ import annotations

import csv
import getpass
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.staleness import NONE, bring_up_to_date, collect_if_changed, forget_collected, note_as_collected
from pipeline import decisions, stages
from pipeline.adapters.versions import Versions
from pipeline.collect.door import OWN
from pipeline.dataset.diff import Difference, Files, Item, difference
from pipeline.dataset.feature_drift import feature_drift
from pipeline.dataset.history import Stored, Version, add_version, version_of, versions
from pipeline.dataset.profile import drifts, findings, profile_of
from pipeline.errors import GenloopError, ParamsError, ValidationError
from pipeline.files import replacing
from pipeline.generated import SIDE, read_generated
from pipeline.manifest import find, read_bytes
from pipeline.media.image import areas_of
from pipeline.settings import Params
from pipeline.values import Validation

SNAPSHOT = str(stages.SNAPSHOT)
MEASURED_FROM = 0.01  # share of the items


def update(workspace: Path, params: Params, why: str, only: Sequence[str] = ()) -> Version | None:
    """Collect what is new, validate it, and record the version; None where nothing changed."""
    before = versions(workspace)[-1:]
    if before and before[0].restores and not only:
        forget_collected(workspace)
    collect_if_changed(workspace, params, only)
    bring_up_to_date(workspace, "validate")
    after = record(workspace, params, why)
    return None if before and before[0].number == after.number else after


def record(workspace: Path, params: Params, why: str, restores: int | None = None) -> Version:
    """The version of the validated snapshot that stands here: the last one if it is that, else a new one.

    Raises ValidationError, and records nothing, where it has drifted farther from the last one than may be.
    """
    known, store = versions(workspace), Versions(workspace)
    last = known[-1] if known else None
    stored = Stored(**store.stored("collect", SNAPSHOT))
    if last and last.stored == stored and restores is None:
        return last
    snapshot = stages.read_snapshot(workspace)
    validation = Validation.model_validate_json((workspace / stages.VALIDATION).read_text())
    profile = profile_of(workspace / stages.SNAPSHOT)
    counts = _counts(store, last, workspace, snapshot.items)
    drift = drifts(last.profile, profile) | _feature_drift(store, last, workspace, params, counts) if last else {}
    if restores is None and (faults := findings(drift, params.drift.stop.model_dump())):
        raise ValidationError(
            f"the dataset has drifted: {'; '.join(faults)}",
            where=f"version {last.number} to now" if last else "",
            remedy="raise drift.stop in params.yaml if that is right, or `genloop data restore` the version before",
        )
    version = Version(
        number=last.number + 1 if last else 1,
        id=snapshot.id,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        by=getpass.getuser(),
        why=why,
        stored=stored,
        items=snapshot.items,
        accepted=validation.accepted,
        rejected=validation.rejected,
        reasons=validation.reasons,
        added=counts["added"],
        removed=counts["removed"],
        relabelled=counts["relabelled"],
        drift=drift,
        sources=snapshot.sources,
        profile=profile,
        restores=restores,
        near_copies=validation.near_copies,
        docs=Stored(**store.stored("validate", str(stages.DOCS))),
    )
    add_version(workspace, version)
    return version


def _counts(store: Versions, last: Version | None, workspace: Path, items: int) -> dict[str, int | None]:
    """Against the last version. That its files are lost is no reason to stop: only the counts are not known then."""
    if last is None:
        return {"added": items, "removed": 0, "relabelled": 0}
    try:
        return dict(difference(_parts(store.files(last.stored.md5)), _parts_here(workspace)).counts)
    except GenloopError:
        return dict.fromkeys(("added", "removed", "relabelled"))


def _feature_drift(
    store: Versions, last: Version, workspace: Path, params: Params, counts: Mapping[str, int | None]
) -> dict[str, float]:
    """Measured where enough changed that it could be much: to load the classifier takes seconds."""
    changed = sum(count or 0 for count in counts.values())
    if counts["added"] is None or changed < MEASURED_FROM * last.items:
        return {}
    found = feature_drift(workspace, params, _parts(store.files(last.stored.md5)), _parts_here(workspace))
    return {} if found is None else {"features": found}


def warnings(params: Params, version: Version) -> list[str]:
    return findings(version.drift, params.drift.warn.model_dump())


def diff(workspace: Path, before: str, after: str) -> tuple[Version, Version, Difference]:
    one, other = version_of(workspace, before), version_of(workspace, after)
    store = Versions(workspace)
    return one, other, difference(*(_parts(store.files(version.stored.md5)) for version in (one, other)))


def restore(workspace: Path, params: Params, name: str) -> Version:
    """Bring a version's snapshot back, validate it, and record that as the newest version.

    It stands until the sources change, or `update` is asked to follow them again.
    """
    wanted = version_of(workspace, name)
    Versions(workspace).restore("collect", SNAPSHOT, wanted.stored.model_dump())
    note_as_collected(workspace, params)
    bring_up_to_date(workspace, "validate")
    return record(workspace, params, f"restored version {wanted.number}", restores=wanted.number)


def push(workspace: Path) -> int:
    """Send every version to DVC's remote; how many files it lacked."""
    stored = [stored.md5 for version in versions(workspace) for stored in (version.stored, version.docs) if stored]
    return Versions(workspace).push_folders(stored)


def label(workspace: Path, params: Params, file: Path, why: str) -> Version | None:
    """Give items other labels, by a CSV with columns sha256 and label. Raises ParamsError, and changes nothing, where
    a row names no item or no label."""
    with readable(file), file.open(newline="", encoding="utf-8-sig") as text:
        rows = list(csv.DictReader(text))
    if not rows or not {"sha256", "label"} <= rows[0].keys():
        raise ParamsError("no rows with columns sha256 and label", where=str(file), remedy="give both by name")
    known = _kept(workspace, [(row["sha256"] or "").strip() for row in rows])
    for number, row in enumerate(rows, 2):
        if (row["sha256"] or "").strip() not in known:
            raise ParamsError(f"line {number} names no item", where=str(file), remedy="nothing was changed; mend it")
        if not (row["label"] or "").strip():
            raise ParamsError(f"line {number} has no label", where=str(file), remedy="nothing was changed; mend it")
    made = [(known[r["sha256"].strip()]["sha256"], decisions.LABEL, r["label"].strip()) for r in rows]
    return _decide(workspace, params, made, why)


def accept(workspace: Path, params: Params, hashes: Sequence[str], why: str) -> Version | None:
    """Take rejected items in all the same. Raises ParamsError where one is not there or is no image."""
    known = _kept(workspace, hashes)
    for sha256 in hashes:
        if sha256 not in known:
            raise ParamsError("no such item", where=sha256, remedy="`genloop data quarantine --json` has the hashes")
        if (problem := known[sha256]["problem"]) and not problem.startswith(OWN):
            raise ParamsError(f"it can't be accepted: {problem}", where=sha256, remedy="mend it at its source")
    return _decide(workspace, params, [(known[sha256]["sha256"], decisions.ACCEPT, "") for sha256 in hashes], why)


def _kept(workspace: Path, hashes: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Rows of the current snapshot by their hash, and by that of the file as it was read."""
    wanted = pa.array(hashes, pa.string())
    rows = find(workspace / stages.SNAPSHOT, lambda column: pc.is_in(column, wanted))
    return {sha256: row for row in rows for sha256 in (row["sha256"], row["original"]) if sha256}


def _decide(workspace: Path, params: Params, made: Sequence[tuple[str, str, str]], why: str) -> Version | None:
    at, by = datetime.now(UTC).isoformat(timespec="seconds"), getpass.getuser()
    decisions.add_decisions(workspace, [decisions.Decision(*entry, at, by) for entry in made])  # type: ignore[arg-type]
    return update(workspace, params, why, only=NONE)


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """What goes wrong in reading a CSV file that a person gave, as ParamsError."""
    try:
        yield
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ParamsError(f"can't be read: {error}", where=str(file), remedy="give a CSV file in UTF-8") from None


def quarantined(workspace: Path, reason: str = "") -> list[tuple[str, Item]]:
    """(reason, item) of every rejected item; of those whose reason begins so."""
    import pyarrow.parquet as pq

    path = workspace / stages.QUARANTINE / "quarantine.parquet"
    if not path.exists():
        raise GenloopError("there is no quarantine yet", where=str(path), remedy="`genloop data update` first")
    with pq.ParquetFile(path) as file:
        table = file.read(["sha256", "image.path", "label", "split", "reason"])
    paths = table["image"].combine_chunks().field("path").to_pylist()
    columns = [table[name].to_pylist() for name in ("reason", "sha256", "label", "split")]
    return [
        (why, Item(sha256, label, split, "", place, path, row))
        for row, (why, sha256, label, split, place) in enumerate(zip(*columns, paths, strict=True))
        if why.startswith(reason)
    ]


def item(workspace: Path, name: str) -> dict[str, Any]:
    """What is known of an item of the current snapshot, by its hash or its first digits. Raises GenloopError."""
    rows = find(workspace / stages.SNAPSHOT, lambda column: pc.starts_with(column, name))
    found = list(rows) if len(name) >= 6 else []
    hashes = {row["sha256"] for row in found}
    if len(hashes) != 1:
        what = f"{len(hashes)} items begin so" if hashes else "no such item"
        raise GenloopError(
            what, where=name, remedy="give at least six digits of its hash, as `genloop data diff` shows"
        )
    row, sha256 = found[0], hashes.pop()
    origin = next(o for o in stages.read_snapshot(workspace).sources if o.name == row["source"])
    rejected = [why for why, entry in quarantined(workspace) if entry.sha256 == sha256]
    names = ("sha256", "label", "split", "format", "mode", "width", "height", "size_bytes", "source", "unit", "path")
    return {name: row[name] for name in names} | {
        "uri": origin.uri,
        "licence": origin.licence,
        "consent": origin.consent,
        "copies": len(found),
        "rejected": rejected[0] if rejected else None,
        "versions": versions_with(workspace, sha256),
        "stripped": row["stripped"],
        "near": _near(workspace, row),
        "picture": str(_picture(workspace, row)),
    }


def _near(workspace: Path, row: dict[str, Any]) -> dict[str, float]:
    """The batches with the images most like the item; up to 1, the two would be taken for copies of each other."""
    own = read_generated(workspace / stages.GENERATED)
    if not own or row["problem"]:
        return {}
    areas = areas_of(read_bytes(workspace / stages.SNAPSHOT, row["part"], [row["row"]]), SIDE)
    return dict(own.nearest(areas[0]))


def _picture(workspace: Path, row: dict[str, Any]) -> Path:
    """The item's own bytes as a file, to be looked at."""
    data = read_bytes(workspace / stages.SNAPSHOT, row["part"], [row["row"]])[0]
    path = workspace / "runs/items" / f"{row['sha256']}.{(row['format'] or 'bin').lower()}"
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return path


def versions_with(workspace: Path, sha256: str) -> list[int]:
    """Numbers of the versions that an item is in; a part that several share is read once."""
    import pyarrow.parquet as pq

    store, looked, found = Versions(workspace), dict[str, bool](), []
    for version in versions(workspace):
        files = _parts(store.files(version.stored.md5))
        for name, path in files.items():
            if name not in looked:
                with pq.ParquetFile(path) as file:
                    column = file.read(["sha256"])["sha256"]
                looked[name] = bool(pc.any(pc.equal(column, sha256)).as_py())
        if any(looked[name] for name in files):
            found.append(version.number)
    return found


def _parts(files: dict[str, Path]) -> Files:
    return {name.removeprefix("parts/"): path for name, path in files.items() if name.startswith("parts/")}


def _parts_here(workspace: Path) -> Files:
    folder = workspace / stages.SNAPSHOT / "parts"
    return {part.name: folder / part.name for part in stages.read_snapshot(workspace).parts}
