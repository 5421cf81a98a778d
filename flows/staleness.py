"""The stages brought up to date in a workspace, each only where something changed; what tasks and commands share."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from flows.guard import note_own_batches
from pipeline import decisions, stages
from pipeline.adapters.versions import Versions, has_stage
from pipeline.errors import ERRORS, DamagedError, GenloopError, ServiceError, SourceError
from pipeline.files import sha256_file, sha256_json, write_json
from pipeline.lessons import Lessons, stands, write_lessons
from pipeline.log import say
from pipeline.settings import Params

COLLECTED, HEARD = Path("runs/collected.json"), Path("runs/lessons.json")
NONE = ("",)  # no source: only what people decided is to be done


def collect_if_changed(workspace: Path, params: Params, only: Sequence[str] = ()) -> bool:
    """Collect where sources, settings or decisions changed; whether anything was done.

    only: names of the sources to look at; what others have new stays for the next time.
    """
    mend_parts(workspace)
    before = _collected(workspace)
    state = {
        "sources": before.get("sources", "") if only else _sources(workspace, params),
        "decisions": _said(workspace),
    }
    if not only and state == before and (workspace / stages.SNAPSHOT / "snapshot.json").exists():
        return False
    note_own_batches(workspace, params)
    stages.run_stage("collect", workspace, only)
    Versions(workspace).commit("collect")
    write_json(workspace / COLLECTED, state if not only or tuple(only) == NONE else {})
    return True


def mend_parts(workspace: Path) -> None:
    """Parts of the snapshot are never changed once they are written: where one is another than DVC knows by its name,
    it is damaged, and brought back. Raises GenloopError where DVC has it neither in its cache nor in its remote."""
    if not (workspace / "dvc.lock").exists() or not (workspace / stages.SNAPSHOT / "snapshot.json").exists():
        return
    versions, parts = Versions(workspace), _parts_of(workspace)
    altered = versions.altered("collect", str(stages.SNAPSHOT))
    damaged = {name: md5 for name, md5 in altered.items() if parts is None or name in parts}
    versions.bring_back(str(stages.SNAPSHOT), damaged)
    for name in damaged:
        say(f"{stages.SNAPSHOT / name} was damaged or gone: it is brought back", logging.WARNING)


def _parts_of(workspace: Path) -> set[str] | None:
    """Those that the snapshot in the workspace names; None where it can't be read itself."""
    try:
        return {f"parts/{part.name}" for part in stages.read_snapshot(workspace).parts}
    except (OSError, ValueError):
        return None


def note_as_collected(workspace: Path, params: Params) -> None:
    """The snapshot that stands here is what is wanted until the sources change; where they are out of reach, as in a
    clone elsewhere, until they are looked at again."""
    try:
        write_json(workspace / COLLECTED, {"sources": _sources(workspace, params), "decisions": _said(workspace)})
    except SourceError:
        forget_collected(workspace)


def forget_collected(workspace: Path) -> None:
    """Have the next collection look at the sources, whether they changed or not."""
    (workspace / COLLECTED).unlink(missing_ok=True)


def _collected(workspace: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads((workspace / COLLECTED).read_text())
        return found
    except (OSError, ValueError):
        return {}


def _sources(workspace: Path, params: Params) -> str:
    from pipeline.collect.sources import fingerprint

    found = [fingerprint(source.uri, workspace) for source in params.collect.all]
    return sha256_json({"collect": params.collect.model_dump(), "found": found})


def _said(workspace: Path) -> str:
    path = workspace / decisions.NAME
    return sha256_file(path) if path.exists() else ""


def note_lessons(workspace: Path, params: Params) -> None:
    """Have DVC know the lessons that stand here; none where there are not any. Raises GenloopError where an old
    dvc.yaml has no place for them and the settings ask for some."""
    folder = workspace / stages.LESSONS
    if stands(folder) and _heard(workspace) == stands(folder):
        return
    if not has_stage(workspace, "lessons"):
        if params.train.listens:
            raise GenloopError(
                "it has no stage `lessons`, which train.start and train.feedback take theirs from",
                where=str(workspace / "dvc.yaml"),
                remedy="put it aside, and `genloop init` on this workspace makes it anew",
            )
        return
    if not stands(folder):
        write_lessons(folder, Lessons())
    Versions(workspace).commit("lessons")
    write_json(workspace / HEARD, {"lessons": stands(folder)})


def keep_lessons(workspace: Path, params: Params, lessons: Lessons) -> None:
    """Put these in place, for the next training to listen to; the same again changes nothing."""
    write_lessons(workspace / stages.LESSONS, lessons)
    note_lessons(workspace, params)


def _heard(workspace: Path) -> str:
    """The lessons that DVC was told of last."""
    try:
        return str(json.loads((workspace / HEARD).read_text())["lessons"])
    except (OSError, ValueError, KeyError):
        return ""


def bring_up_to_date(workspace: Path, stage: str) -> bool:
    """Have DVC bring one stage up to date; whether it ran."""
    receipt = workspace / stages.RECEIPTS / f"{stage}.json"
    try:
        return Versions(workspace).reproduce(stage)
    except ServiceError:
        known = json.loads(receipt.read_text()).get("error") if receipt.exists() else None
        if known:
            kind = ERRORS.get(known.pop("kind"), GenloopError)
            if kind is DamagedError:
                Versions(workspace).discard("preprocess", str(stages.SHARDS))
            raise kind(known.pop("what"), **known) from None
        raise
