"""The loop on digits with a training of a second, and all that it came to, to be held against an undisturbed one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from flows.workspaces import make_workspace
from pipeline.environment import LOCAL_REGISTRY
from pipeline.files import sha256_file
from pipeline.params_file import override_params
from pipeline.retention.local import _torn
from pipeline.shards import content_id, open_shards
from tests.flows.command import NO_FILTERS

ROOT = Path(__file__).parents[2]
SMALL = ["train.images_seen=1280", "train.width=8", "train.snapshots=2", "evaluate.classifier_steps=5", NO_FILTERS]
SMALL += ["evaluate.tstr_images=100", "batches.samples.count=20", "promote.gates={nfd: {at_most: 1000000.0}}"]
SMALL += ["promote.slack={}", "train.precision=fp32"]  # one way to compute: the fastest one is not always the same
OF_A_RUN = ("runs/history/", "runs/reports/run-", "var/mlartifacts/")  # one that ends just after its page leaves it


@dataclass(frozen=True)
class Outcome:
    """versions: the bundle of each model version; batches: of each committed one its pixels' hash by index."""

    snapshot: str
    shards: str
    weights: str
    dataset_versions: int
    versions: dict[int, str]
    champion: int
    batches: dict[str, dict[int, str]]


def make(folder: Path, *settings: str) -> Path:
    make_workspace(folder)
    override_params(folder / "params.yaml", [*SMALL, *settings])
    return folder


def outcome(workspace: Path) -> Outcome:
    """Read from what lies on the disk and in the registry, not from what a run says of itself."""
    reader = open_shards(workspace / "data/shards")
    arrays = [reader.train_images, reader.train_labels, reader.holdout_images, reader.holdout_labels]
    shards = content_id(arrays, "\n".join(reader.meta.classes))
    assert shards == reader.meta.id
    versions, champion = registered(workspace)
    return Outcome(
        json.loads((workspace / "data/snapshot/snapshot.json").read_text())["id"],
        shards,
        sha256_file(workspace / "data/bundle/weights.safetensors"),
        len(list((workspace / "versions").glob("[0-9]*.json"))),
        versions,
        champion,
        batches_of(workspace),
    )


def registered(workspace: Path) -> tuple[dict[int, str], int]:
    """The bundle of each model version, and the champion's number, as the database has them: MLflow itself would go on
    reading one that was replaced."""
    with closing(sqlite3.connect(workspace / LOCAL_REGISTRY)) as database:
        tags = "select version, value from model_version_tags where name = 'generator' and key = 'bundle'"
        there = "select version from model_versions where name = 'generator' and current_stage != 'Deleted_Internal'"
        alias = "select version from registered_model_aliases where name = 'generator' and alias = 'champion'"
        numbers = {number for (number,) in database.execute(there)}
        versions = {number: bundle for number, bundle in database.execute(tags) if number in numbers}
        (champion,) = database.execute(alias).fetchone() or (0,)
    return versions, champion


def batches_of(workspace: Path) -> dict[str, dict[int, str]]:
    """Nothing lies beside the committed ones."""
    found = {}
    for folder in (workspace / "var/s3/genloop/batches").iterdir():
        told = json.loads((folder / "_COMMITTED.json").read_text())
        rows = pq.read_table(folder / "data").to_pylist()
        assert told["items"] == len(rows)
        found[folder.name] = {row["index"]: _pixels(row["image"]["bytes"]) for row in rows}
    return found


def _pixels(data: bytes) -> str:
    return hashlib.sha256(Image.open(io.BytesIO(data)).tobytes()).hexdigest()


def dvc_status(workspace: Path) -> dict[str, Any]:
    """As DVC itself tells it, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], cwd=workspace, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def torn(workspace: Path) -> list[Path]:
    """What writes that were cut short left, and `genloop clean` will take away."""
    return list(_torn(workspace))


def strangers(workspace: Path, like: Path) -> list[str]:
    """Files that an undisturbed workspace does not have, but torn ones and those whose names tell a run."""
    return sorted(_names(workspace) - _names(like) - _told(workspace, torn(workspace)))


def _names(workspace: Path) -> set[str]:
    paths = []
    for folder, folders, files in os.walk(workspace):
        folders[:] = [name for name in folders if Path(folder, name) not in (workspace / "var/s3", workspace / ".dvc")]
        paths += [Path(folder, name) for name in files]
    return _told(workspace, [path for path in paths if not path.is_relative_to(workspace / "var/prefect")])


def _told(workspace: Path, paths: list[Path]) -> set[str]:
    names = set[str]()
    for path in paths:
        inside = [path, *path.rglob("*")] if path.is_dir() else [path]
        names |= {one.relative_to(workspace).as_posix() for one in inside}
    return {name for name in names if not name.startswith(OF_A_RUN)}
