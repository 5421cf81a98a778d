"""A training on a Ray cluster: by two processes as by one here, and to its end where one of them is killed."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from pipeline.params_file import override_params
from tests.flows.command import until
from tests.unit.ray_cluster import ray_cluster
from tests.unit.small_shards import small_shards

ROOT = Path(__file__).parents[2]
STEPS = 24
TOLERANCE = 5e-3  # of a weight, after so many steps of sums in another order

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with ray_cluster(machines=2, cores=2) as started:
        yield started


def prepared(folder: Path, *settings: str) -> Path:
    small_shards(folder / "data/shards")
    shutil.copy(ROOT / "params.yaml", folder)
    override_params(
        folder / "params.yaml",
        ["train.width=8", "train.precision=fp32", "train.lr=0.0005", "evaluate.chosen_on=0", *settings],
    )
    return folder


def training(folder: Path, engine: str, processes: int = 0) -> subprocess.Popen[str]:
    told = {"GENLOOP_ENGINE": engine, "GENLOOP_PROCESSES": str(processes), "GENLOOP_WORKSPACE": str(folder)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **told}
    command = [sys.executable, "-m", "pipeline", "train"]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> str:
    told = process.communicate(timeout=300)[1]
    assert process.returncode == 0, told
    return told


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(next((folder / "data/bundle").glob("*.safetensors")))


def test_two_processes_on_a_cluster_train_as_one_does_here(cluster: Any, tmp_path: Path) -> None:
    short = [f"train.images_seen={64 * STEPS}", "train.snapshots=1"]
    here, there = prepared(tmp_path / "here", *short), prepared(tmp_path / "there", *short)
    ended(training(here, "local"))
    ended(training(there, "ray", processes=2))
    ours, theirs = weights(here), weights(there)
    assert ours.keys() == theirs.keys()
    worst = max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)
    assert worst < TOLERANCE, worst
    assert (there / "data/progress.png").exists() and (there / "runs/stages/train.json").exists()


def test_a_training_goes_on_where_one_of_its_processes_is_killed(cluster: Any, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "work", f"train.images_seen={64 * 400}")
    process = training(folder, "ray", processes=2)
    until(lambda: bool(kept(folder)), "a checkpoint", 200)
    killed = workers(folder)
    assert len(killed) == 2
    killed[-1].kill()
    ended(process)
    with (folder / "data/curves.csv").open() as file:
        assert int(list(csv.DictReader(file))[-1]["images_seen"]) == 64 * 400
    psutil.wait_procs(killed, timeout=30)
    assert not any(one.is_running() for one in killed)


def kept(folder: Path) -> list[Path]:
    return list(folder.glob("runs/train/*/[0-9]*-*.json"))


def workers(folder: Path) -> list[psutil.Process]:
    """Those of Ray Train that work there."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        told = " ".join(process.info["cmdline"] or ())
        if "RayTrainWorker" in told and Path(process.cwd()) == folder:
            found.append(process)
    return found
