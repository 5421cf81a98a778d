"""A version of the validated snapshot that stands in the workspace, with what changed since the last one."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import stages
from pipeline.adapters.versions import Versions
from pipeline.dataset.diff import Files, difference
from pipeline.dataset.feature_drift import feature_drift
from pipeline.dataset.history import Stored, Version, add_version, parts_of, versions
from pipeline.dataset.profile import drifts, findings, profile_of
from pipeline.errors import GenloopError, ValidationError
from pipeline.log import log
from pipeline.settings import Params
from pipeline.values import Validation

SNAPSHOT = str(stages.SNAPSHOT)
MEASURED_FROM = 0.01  # share of the items


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
    told: dict[str, Any] = counts | {
        name: getattr(version, name) for name in ("items", "accepted", "rejected", "reasons")
    }
    log("dataset version recorded", version=version.number, snapshot=version.id, **told)
    return version


def _counts(store: Versions, last: Version | None, workspace: Path, items: int) -> dict[str, int | None]:
    """Against the last version. That its files are lost is no reason to stop: only the counts are not known then."""
    if last is None:
        return {"added": items, "removed": 0, "relabelled": 0}
    try:
        return dict(difference(parts_of(store, last), _parts_here(workspace)).counts)
    except GenloopError:
        return dict.fromkeys(("added", "removed", "relabelled"))


def _feature_drift(
    store: Versions, last: Version, workspace: Path, params: Params, counts: Mapping[str, int | None]
) -> dict[str, float]:
    """Measured where enough changed that it could be much: to load the classifier takes seconds."""
    changed = sum(count or 0 for count in counts.values())
    if counts["added"] is None or changed < MEASURED_FROM * last.items:
        return {}
    found = feature_drift(workspace, params, parts_of(store, last), _parts_here(workspace))
    return {} if found is None else {"features": found}


def warnings(params: Params, version: Version) -> list[str]:
    return findings(version.drift, params.drift.warn.model_dump())


def _parts_here(workspace: Path) -> Files:
    folder = workspace / stages.SNAPSHOT / "parts"
    return {part.name: folder / part.name for part in stages.read_snapshot(workspace).parts}
