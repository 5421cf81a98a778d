"""Models, preference models and their runs, as retention sees them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import stages
from pipeline.adapters.approvals import BEFORE, CANARY, OPEN
from pipeline.adapters.approvals import TAG as APPROVAL
from pipeline.adapters.preferences import KEY as PREFERENCE
from pipeline.adapters.tracked import CLEANED, Tracked, TrackedRun, TrackedVersion
from pipeline.errors import GenloopError
from pipeline.retention.local import checkpoint, features_in, reports_of
from pipeline.retention.plan import Key, Root, Thing
from pipeline.values import Approval, Scorecard

TRAINING = "training"  # tag of a run: what its checkpoints are named


def model_key(name: str, version: int) -> Key:
    return Key("models", f"{name}/{version}")


def run_key(run: str) -> Key:
    return Key("runs", run)


@dataclass(frozen=True)
class Registered:
    """name: of the workspace's model; versions of other names are there to be kept."""

    name: str
    versions: tuple[TrackedVersion, ...]
    runs: tuple[TrackedRun, ...]

    @classmethod
    def of(cls, tracked: Tracked, name: str) -> Registered:
        return cls(name, tuple(tracked.versions()), tuple(tracked.runs()))

    @property
    def models(self) -> list[TrackedVersion]:
        return [version for version in self.versions if "bundle" in version.tags]

    @property
    def preferences(self) -> list[TrackedVersion]:
        return [version for version in self.versions if PREFERENCE in version.tags and "bundle" not in version.tags]

    def preference(self, known_by: str) -> Key | None:
        """The version that has this key."""
        return next((key(one) for one in self.preferences if one.tags[PREFERENCE] == known_by), None)


def key(version: TrackedVersion) -> Key:
    if "bundle" in version.tags:
        return model_key(version.name, version.version)
    return Key("preferences", f"{version.name}/{version.version}")


def things(workspace: Path, known: Registered, snapshots: dict[str, frozenset[Key]]) -> Iterator[Thing]:
    """snapshots: the versions of the dataset that have such an id."""
    of = defaultdict[str, set[Key]](set)
    for version in known.models:
        needs = {run_key(version.run)} | snapshots.get(version.tags.get("snapshot", ""), frozenset())
        needs |= set(reports_of(workspace, version.tags["bundle"]))
        yield Thing(key(version), version.at, needs=frozenset(needs), group=version.name)
    for version in known.preferences:
        needs = {run_key(version.run), features_in(version.tags.get("space", ""))}
        yield Thing(key(version), version.at, needs=frozenset(needs), group=version.name)
    for version in known.versions:
        of[version.run].add(key(version))
    for run in known.runs:
        made_for = frozenset(of.get(run.id, ()))
        begun = CLEANED in run.tags and not made_for
        yield Thing(run_key(run.id), run.at, run.bytes, of=made_for, begun=begun)


def roots(workspace: Path, known: Registered) -> Iterator[Root]:
    for version in known.versions:
        this = frozenset({key(version)})
        if version.name == known.name and "champion" in version.aliases:
            yield Root("the champion", this)
            if version.tags.get(CANARY) == OPEN and version.tags.get(BEFORE):
                before = model_key(version.name, int(version.tags[BEFORE]))
                yield Root("the champion is still compared with it", frozenset({before}))
        for alias in version.aliases:
            yield Root(f"alias {alias}", this)
        if _awaits(version):
            yield Root("waits for a person's word", this)
        if not _is_ours(version, known.name):
            yield Root("not of this workspace", this | {run_key(version.run)})
    here = _bundle_here(workspace)
    yield Root("stands in the workspace", frozenset(key(v) for v in known.models if v.tags["bundle"] == here))


def run_of_checkpoint(known: Registered) -> dict[Key, Key]:
    """The run that goes on with a training."""
    return {checkpoint(run.tags[TRAINING]): run_key(run.id) for run in known.runs if run.tags.get(TRAINING)}


def _is_ours(version: TrackedVersion, name: str) -> bool:
    """Others register models too, under names of theirs or, by hand, under ours."""
    return (version.name == name and "bundle" in version.tags) or (
        version.name == f"{name}-preference" and PREFERENCE in version.tags
    )


def _awaits(version: TrackedVersion) -> bool:
    said = version.tags.get(APPROVAL)
    return said is not None and Approval.model_validate_json(said).state == "asked"


def _bundle_here(workspace: Path) -> str:
    path = workspace / stages.SCORECARD
    try:
        return Scorecard.model_validate_json(path.read_text()).model if path.exists() else ""
    except ValueError:
        raise GenloopError(
            "the scorecard is damaged", where=str(path), remedy="`dvc repro evaluate` makes it"
        ) from None
