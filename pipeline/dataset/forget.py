"""The right to erasure: items leave every part, cache, remote and picture that they stand in, and can't come back.

What is to go is told by keyed hashes that are written first: a run that was killed is ended by the next one, whatever
that one is asked to forget.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline import decisions, stages
from pipeline.adapters.objects import CACHE, places
from pipeline.adapters.registry import Registry
from pipeline.adapters.versions import Versions
from pipeline.collect.erase import Eraser, erase_here
from pipeline.dataset.history import Stored, Version, parts_of, rewrite_version, versions
from pipeline.dataset.profile import profile_of
from pipeline.dataset.proof import Checked, Proof, Rewritten, write_proof
from pipeline.dataset.traces import Look, Search, files_holding
from pipeline.dataset.wanted import Wanted
from pipeline.generate.batches import Stores, batches, notices
from pipeline.tombstones import Tombstones, add_tombstones, read_tombstones
from pipeline.values import Batch, ModelVersion, Snapshot

SCRATCH = Path("var/forget")
# Training images, in the last one in small greys.
SHOWN_BESIDE_RUNS = ("pictures", "report.html", "run.html", "screen")
SHOWING = (Path("runs/pages"), Path("runs/items"), stages.LEDGERS / "staged")
MADE = (  # of a snapshot; the shards are last, since by them it is told of which
    stages.PICTURES,
    stages.CHECKPOINTS,
    stages.EVALUATORS,
    Path("runs/reports"),
    Path("runs/rescored"),
    stages.SHARDS,
)
TAG = "forgotten-"  # and the proof's id: a version may have had items of several erasures

Tell = Callable[[str], None]  # what is being done


@dataclass(frozen=True)
class Plan:
    """What goes, and what came of it. objects: by place."""

    versions: tuple[Version, ...]
    objects: dict[str, list[str]]
    files: tuple[Path, ...]
    models: tuple[ModelVersion, ...]
    batches: tuple[Batch, ...]


def plan(workspace: Path, wanted: Wanted, registry: Registry, stores: Stores, tell: Tell = lambda what: None) -> Plan:
    """Changes nothing. Raises ServiceError where a remote, the registry or the store does not answer."""
    known = read_tombstones(workspace)
    stones = Tombstones(known.key, known.marks, wanted.hashes)
    looks = _looks(workspace, stones, tell)
    held = tuple(v for v in versions(workspace) if any(look.holds(v.stored.md5) for look in looks))
    had = {name for look in looks for name in look.snapshots()} | {name for version in held for name in version.ids}
    if files_holding(workspace / stages.SNAPSHOT, stones):
        had.add(stages.read_snapshot(workspace).id)
    had = had if wanted.shown else set()
    before = {name for version in versions(workspace) for name in version.was}  # where a killed run may have left off
    tell("models and batches")
    models = [m for m in registry.trained_on(had | before) if _is_to_be_told(registry.tags(m), had)]
    return Plan(
        versions=held,
        objects={look.place.name: look.removable(had | before) for look in looks},
        files=tuple(_files(workspace, stones, had, before)),
        models=tuple(models),
        batches=tuple(_batches(stores, models, had)),
    )


def forget(
    workspace: Path, wanted: Wanted, proof: Proof, registry: Registry, stores: Stores, tell: Tell = lambda what: None
) -> Proof:
    """Erase these, and what an earlier run was to erase; the proof, with what was done and what was read back.

    Raises ServiceError, before anything is changed, where a remote, the registry or the store does not answer.
    """
    found = plan(workspace, wanted, registry, stores, tell)
    stones = add_tombstones(workspace, wanted.hashes, proof.at)
    decisions.drop_decisions(workspace, stones.hold)
    told = {"items": proof.items, "at": proof.at, "proof": proof.id}
    pictures = [name for model in found.models for name in _tell_of_model(registry, model, told)]
    for batch in found.batches:
        stores(batch.bucket).put(f"{notices(batch)}{proof.id}.json", json.dumps(told).encode(), "application/json")
    tell("dataset versions")
    rewritten = _rewrite(workspace, stones, found.versions)
    _delete_files(workspace, found.files)
    _replace_objects(workspace, found, tell)
    proof = proof.model_copy(
        update={
            "marks": tuple(sorted(map(stones.mark, wanted.hashes))),
            "versions": tuple(rewritten),
            "objects": {place: tuple(oids) for place, oids in found.objects.items()},
            "files": tuple(str(path.relative_to(workspace)) for path in found.files),
            "pictures": tuple(pictures),
            "models": tuple(f"{model.name} v{model.version}" for model in found.models),
            "batches": tuple(batch.uri for batch in found.batches),
            "checked": tuple(_read_back(workspace, stones, found, proof.id, registry, stores, tell)),
        }
    )
    write_proof(workspace, proof)
    return proof


def _batches(stores: Stores, models: Sequence[ModelVersion], had: set[str]) -> Iterator[Batch]:
    """Those by the models; where these had it only before, those that were not told of it yet."""
    pairs = {(model.name, model.version) for model in models}
    for batch in batches(stores):
        if (batch.model, batch.version) in pairs and (had or not any(stores(batch.bucket).keys(notices(batch)))):
            yield batch


def _looks(workspace: Path, stones: Tombstones, tell: Tell) -> list[Look]:
    search, found = Search(stones), []
    for place in places(workspace):
        tell("DVC's cache" if place.name == CACHE else f"remote {place.name}")
        found.append(search.look(place))
    return found


def _files(workspace: Path, stones: Tombstones, had: set[str], before: set[str]) -> Iterator[Path]:
    """Files and folders of the workspace that go; what stands in the snapshot is written anew, not deleted."""
    snapshot = workspace / stages.SNAPSHOT
    if files_holding(workspace / stages.QUARANTINE, stones):
        yield workspace / stages.QUARANTINE  # with the list of reasons, which names paths
    for folder in ("data", "runs"):
        for path in files_holding(workspace / folder, stones):
            if not path.is_relative_to(snapshot) and not path.is_relative_to(workspace / stages.QUARANTINE):
                yield path
    shards = workspace / stages.SHARDS / "shards.json"
    made = had or (shards.exists() and json.loads(shards.read_text())["snapshot"] in before)
    yield from (workspace / path for path in (*SHOWING, *(MADE if made else ())) if (workspace / path).exists())


def _delete_files(workspace: Path, files: Sequence[Path]) -> None:
    if workspace / stages.SHARDS in files:
        Versions(workspace).drop(["preprocess", "evaluate"])
    for path in files:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _rewrite(workspace: Path, stones: Tombstones, held: Sequence[Version]) -> list[Rewritten]:
    """Each version, and the snapshot that stands here, without what is forgotten."""
    with _scratch(workspace) as scratch:
        eraser = Eraser(stones, workspace / stages.PIXELS, scratch)
        done = [_rewrite_version(workspace, eraser, version, scratch) for version in held]
        if (workspace / stages.SNAPSHOT / "snapshot.json").exists():
            erase_here(eraser, workspace / stages.SNAPSHOT, workspace / stages.LEDGERS)
            Versions(workspace).commit("collect")
    return done


def _rewrite_version(workspace: Path, eraser: Eraser, version: Version, scratch: Path) -> Rewritten:
    store, out = Versions(workspace), scratch / f"version-{version.number}"
    told = store.files(version.stored.md5)["snapshot.json"].read_text()
    out.mkdir()
    left, gone = eraser.erase(Snapshot.model_validate_json(told), parts_of(store, version), out)
    changes = {
        "id": left.id,
        "was": tuple(dict.fromkeys([*version.was, version.id])),
        "stored": Stored(**store.store(out)),
        "items": left.items,
        "profile": profile_of(out),
        "forgotten": version.forgotten + gone.total(),
    }
    rewrite_version(workspace, version.model_copy(update=changes))
    return Rewritten(number=version.number, before=version.id, after=left.id, items=gone.total())


@contextmanager
def _scratch(workspace: Path) -> Iterator[Path]:
    folder = workspace / SCRATCH
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace_objects(workspace: Path, found: Plan, tell: Tell) -> None:
    """What is removed from a remote is first there in its new form: other items lose nothing."""
    cache, *remotes = places(workspace)
    changed = [v.stored.md5 for v in versions(workspace) if v.forgotten and cache.has(v.stored.md5)]
    for place in (*remotes, cache):
        if oids := found.objects.get(place.name):
            tell(f"removing {len(oids):,} objects of {place.name}")
            if place.name != CACHE:
                Versions(workspace).push_folders(changed, place.name)
            place.delete(oids)


def _is_to_be_told(tags: Mapping[str, str], had: set[str]) -> bool:
    """Whether a model had some of it in its data now, or had some before and was never told."""
    return tags["snapshot"] in had or not any(name.startswith(TAG) for name in tags)


def _tell_of_model(registry: Registry, model: ModelVersion, told: dict[str, object]) -> list[str]:
    registry.tag(model, f"{TAG}{told['proof']}", json.dumps(told))
    removed = registry.remove_files(model, SHOWN_BESIDE_RUNS)
    return [f"{model.name} v{model.version}: {name}" for name in removed]


def _read_back(
    workspace: Path, stones: Tombstones, found: Plan, proof: str, registry: Registry, stores: Stores, tell: Tell
) -> Iterator[Checked]:
    for look in _looks(workspace, stones, tell):
        yield Checked(what=f"objects in {look.place.name}", looked_into=len(look.oids), holding=len(look.held))
    for folder in ("data", "runs"):
        files = list((workspace / folder).rglob("*.parquet"))
        held = files_holding(workspace / folder, stones)
        yield Checked(what=f"files in {folder}", looked_into=len(files), holding=len(held))
    tag = f"{TAG}{proof}"
    silent = [m for m in found.models if tag not in registry.tags(m) or {*registry.files(m)} & {*SHOWN_BESIDE_RUNS}]
    yield Checked(what="models", looked_into=len(found.models), holding=len(silent))
    unmarked = [batch for batch in found.batches if stores(batch.bucket).get(f"{notices(batch)}{proof}.json") is None]
    yield Checked(what="batches", looked_into=len(found.batches), holding=len(unmarked))
