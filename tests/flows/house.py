"""`python -m tests.flows.house WORKSPACE`: a house that has been lived in, without a training.

Three versions of the dataset with a model of each, the last of them champion; a batch by the first one, and one below
its floor; two preference models; what is below runs/. All of it is DAYS old.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import suppress
from pathlib import Path

from flows import wiring
from flows.workspaces import make_workspace
from pipeline.adapters.preferences import Preferences
from pipeline.adapters.registry import Registry
from pipeline.adapters.versions import Versions
from pipeline.dataset.history import Stored, add_version, versions
from pipeline.errors import BatchError
from pipeline.files import write_json
from pipeline.generate import publish
from pipeline.generate.part import Task, Workplace, make_part
from pipeline.marks.signer import SignerSettings
from pipeline.params_file import override_params
from tests.contract.delivering import CARD, delivered, make_bundle, order_of
from tests.unit.told_versions import told_version

DAYS = 200
KINDS = ("snapshots", "models", "runs", "preferences", "checkpoints", "pages", "cache")
SETTINGS = [f"retention.{kind}={{days: 100, newest: 0}}" for kind in KINDS]
STRICT = "def rule(items):\n    return ['not today'] * len(items)\n"
REFUSING = {"copies": 0, "odd": 1, "confidence": 0, "alike": False, "policies": ["strict:rule"]}
PATHS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
TIMES = (("runs", "start_time"), ("runs", "end_time"), ("model_versions", "creation_time"))


def build(root: Path) -> None:
    make_workspace(root)
    override_params(root / "params.yaml", SETTINGS)
    with (root / ".dvc/config").open("a") as config:
        config.write(f"['remote \"far\"']\n    url = {root.parent / 'far'}\n")
    for number, parts in enumerate((["a", "b"], ["b", "c"], ["a", "d"]), 1):
        _add_snapshot(root, number, parts)
    _register(root)
    for name in (
        "runs/train/done/best.json",
        "runs/feedback/old/1",
        "runs/feedback/new/1",
        "data/.x-abcd1234/torn.png",
    ):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("{}")
    with wiring.environment_for_run(root, ("s3",)) as services:
        services.wait()
        wiring.point_versions(root, services["s3"])
        for remote in ("store", "far"):
            Versions(root).push_folders([version.stored.md5 for version in versions(root)], remote)
        _deliver(root, count=4, part_items=4, layout="files")
        (root / "strict.py").write_text(STRICT)
        with suppress(BatchError):
            _deliver(root, count=4, part_items=4, filters=REFUSING)
    grow_old(root)


def _deliver(root: Path, **asked: object) -> None:
    """Its one part by this process: others would have to be started."""
    order, store = order_of(make_bundle(root / "bundle"), **asked), wiring.stores("")  # type: ignore[arg-type]
    started = publish._begun(store, order)
    make_part(Task(order, 0, Workplace(root, root / "bundle", None, store, SignerSettings(), started)))
    delivered(root, wiring.stores, **asked)


def grow_old(root: Path) -> None:
    then = time.time() - DAYS * 86400
    for place in (root / "var/s3", root / ".dvc/cache", root / "runs", root.parent / "far", root / "data"):
        for path in place.rglob("*"):
            os.utime(path, (then, then))
    with sqlite3.connect(root / "var/mlflow.db") as database:
        for table, column in TIMES:
            database.execute(f"update {table} set {column} = ?", (int(then * 1000),))
    database.close()


def moved(root: Path, before: Path) -> None:
    """What a copy of a house has in it of where the first one was."""
    config = root / ".dvc/config"
    config.write_text(config.read_text().replace(str(before.parent), str(root.parent)))
    with sqlite3.connect(root / "var/mlflow.db") as database:
        for table, column in PATHS:
            change = f"update {table} set {column} = replace({column}, ?, ?)"
            database.execute(change, (str(before.parent), str(root.parent)))
    database.close()


def _add_snapshot(root: Path, number: int, parts: list[str]) -> None:
    folder = root / "made" / str(number)
    (folder / "parts").mkdir(parents=True)
    for name in parts:
        (folder / "parts" / name).write_text(f"items of {name}" * 100)
    write_json(folder / "snapshot.json", {"id": f"s{number}"})
    stored = Stored(**Versions(root).store(folder))
    add_version(root, told_version(number, f"2026-01-0{number}T00:00:00+00:00", stored))


def _register(root: Path) -> None:
    make_bundle(root / "made/bundle")
    registry = Registry(f"sqlite:///{root}/var/mlflow.db", root / "var/mlartifacts")
    for number in (1, 2, 3):
        card = CARD.model_copy(update={"model": f"m{number}"})
        beside = {"params.yaml": root / "params.yaml"}
        model = registry.register("generator", root / "made/bundle", card, {"snapshot": f"s{number}"}, beside)
        page = root / f"runs/reports/m{number}-x/report.html"
        page.parent.mkdir(parents=True)
        page.write_text("a page")
    registry.promote(model)
    registry.end_training_run(registry.training_run("half"), None)
    for space in ("old", "new"):
        Preferences(registry, "generator").keep(space, root / "made/1", {}, {"space": space})


if __name__ == "__main__":
    build(Path(sys.argv[1]))
