"""The operator's side: a run on servers that are there already, DVC by hand, status, failures of services."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows import records, services, wiring
from pipeline.params_file import override_params
from tests.flows.command import NO_FILTERS

pytestmark = pytest.mark.xdist_group("ports")  # `up` asks for the same ones, here and in test_services
SMALL = ["-S", "train.images_seen=3200", "-S", "evaluate.classifier_steps=30", "-S", "evaluate.tstr_images=500"]
SMALL += ["-S", "promote.gates={nfd: {at_most: 100000.0}}", "-S", "batches.samples.count=20", "-S", NO_FILTERS]
STAGES = ["collect", "validate", "preprocess", "train", "evaluate"]
TOLD = ("starting local services", "champion ", "register ", "screen ", "generate ", *(f"{name} " for name in STAGES))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that names an S3 and a Prefect server of another workspace, as an operator would."""
    folder = tmp_path_factory.mktemp("elsewhere")
    s3, prefect = services.up(folder, ["s3", "prefect"])
    try:
        yield {
            **services.s3_environment(folder, s3),
            "PREFECT_API_URL": f"{prefect.url}/api",
            "S3_PID": str(s3.pid),
        }
    finally:
        services.down(folder)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("operator")
    assert genloop(folder, {}, "init", str(folder)).returncode == 0
    return folder


@pytest.fixture(scope="module")
def first(workspace: Path, elsewhere: dict[str, str]) -> tuple[dict[str, Any], str]:
    done = genloop(workspace, elsewhere, "run", "--json", *SMALL)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def child_environment(workspace: Path, variables: dict[str, str]) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "GENLOOP_WORKSPACE": str(workspace), "OMP_NUM_THREADS": "1", "PATH": path, **variables}


def genloop(workspace: Path, variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli", *arguments]
    environment = child_environment(workspace, variables)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)


def dvc(workspace: Path, *arguments: str, variables: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=workspace,
        env=child_environment(workspace, variables or {}),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def status(workspace: Path) -> dict[str, Any]:
    done = genloop(workspace, {}, "status", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_status_before_any_run_is_a_friendly_line(tmp_path: Path) -> None:
    done = genloop(tmp_path, {}, "status")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("No run yet in ") and "`genloop run`" in done.stdout
    assert status(tmp_path) == {"snapshot": None, "model": None, "batches": [], "runs": []}


def test_a_run_uses_the_servers_that_the_environment_names(
    workspace: Path, first: tuple[dict[str, Any], str], elsewhere: dict[str, str]
) -> None:
    summary, _ = first
    assert records.read(workspace) == [] and not (workspace / "var/prefect/prefect.db").exists()
    api = elsewhere["PREFECT_API_URL"]
    (run,) = httpx.post(f"{api}/flow_runs/filter", json={}).json()
    assert run["name"] == f"digits {summary['snapshot']['id'][:8]} → generator v1 champion"
    assert run["state_type"] == "COMPLETED"
    names = {task["name"] for task in httpx.post(f"{api}/task_runs/filter", json={}).json()}
    wanted = {"collect sample://digits", "train", "promote generator v1", "deliver samples by generator v1", "push"}
    assert wanted <= names
    artifacts = {found["key"]: found for found in httpx.post(f"{api}/artifacts/filter", json={}).json()}
    assert artifacts.keys() == {"run", "scorecard", "samples", "batch-samples"}
    assert {row["metric"] for row in json.loads(artifacts["scorecard"]["data"])} == summary["model"]["scorecard"].keys()
    assert summary["batches"][0]["uri"] in artifacts["batch-samples"]["data"]


def test_a_run_tells_what_it_does_and_nothing_else(first: tuple[dict[str, Any], str]) -> None:
    told = [line for line in first[1].splitlines() if line.strip()]
    assert [line for line in told if not line.startswith(TOLD)] == []
    assert {"train", "evaluate", "generate"} <= {line.split()[0] for line in told}


def test_with_an_s3_of_ones_own_the_versions_are_pushed(
    workspace: Path, first: tuple[dict[str, Any], str], elsewhere: dict[str, str]
) -> None:
    assert "push" in first[0]["seconds"]
    assert "in sync" in dvc(workspace, "status", "--cloud", variables=elsewhere)


def test_dvc_by_hand_agrees_with_the_flow(
    workspace: Path, first: tuple[dict[str, Any], str], elsewhere: dict[str, str]
) -> None:
    assert json.loads(dvc(workspace, "status", "--json")) == {}
    assert "Running stage" not in dvc(workspace, "repro")
    shown = json.loads(dvc(workspace, "metrics", "show", "--json"))[""]["data"]
    assert shown["data/scorecard.json"]["data"]["metrics"] == first[0]["model"]["scorecard"]
    assert shown["data/validation.json"]["data"]["items"] == 1797
    dvc(workspace, "plots", "show")
    page = (workspace / "dvc_plots/index.html").read_text()
    assert "loss_g" in page and "images_seen" in page

    override_params(workspace / "params.yaml", ["evaluate.coverage_k=4"])
    again = dvc(workspace, "repro")
    assert re.findall(r"Running stage '(\w+)'", again) == ["evaluate"]
    done = genloop(workspace, elsewhere, "run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["up_to_date"] == STAGES
    assert json.loads(dvc(workspace, "status", "--json")) == {}


def test_push_and_pull_by_hand_against_the_embedded_s3(workspace: Path, first: tuple[dict[str, Any], str]) -> None:
    (s3,) = services.up(workspace, ["s3"])
    try:
        wiring.point_versions(workspace, s3)  # as `genloop up` does
        before = (workspace / "data/bundle/config.json").read_bytes()
        assert "pushed" in dvc(workspace, "push")
        shutil.rmtree(workspace / ".dvc/cache")
        kept = {name: (workspace / name).read_bytes() for name in ("data/validation.json", "data/scorecard.json")}
        kept["data/curves.csv"] = (workspace / "data/curves.csv").read_bytes()
        shutil.rmtree(workspace / "data")
        dvc(workspace, "pull")
        for name, content in kept.items():  # metrics are git's, not the cache's
            (workspace / name).write_bytes(content)
        assert (workspace / "data/bundle/config.json").read_bytes() == before
        assert json.loads(dvc(workspace, "status", "--json")) == {}
    finally:
        services.down(workspace)


def test_status_shows_the_champion_that_the_registry_has_now(
    workspace: Path, first: tuple[dict[str, Any], str]
) -> None:
    shown = status(workspace)
    assert (shown["model"]["name"], shown["model"]["version"], shown["model"]["alias"]) == ("generator", 1, "champion")
    assert shown["runs"][-1]["outcome"] == "promoted"
    assert shown["runs"][-1]["snapshot"] == shown["snapshot"]["id"] == first[0]["snapshot"]["id"]

    registry = wiring.registry(workspace)
    old = registry.client.get_model_version("generator", "1")
    registry.client.create_model_version("generator", old.source, old.run_id, tags=dict(old.tags))
    registry.client.set_registered_model_alias("generator", "champion", "2")
    moved = status(workspace)["model"]
    assert (moved["version"], moved["alias"]) == (2, "champion")
    assert moved["scorecard"] == first[0]["model"]["scorecard"]
    registry.client.set_registered_model_alias("generator", "champion", "1")


def test_an_s3_that_stops_midway_is_retried_then_told_in_a_line(
    workspace: Path, first: tuple[dict[str, Any], str], elsewhere: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "flows.cli", "run", "-S", "batches.samples.seed=1"]
    environment = child_environment(workspace, elsewhere)
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert run.stderr.readline() == "starting local services\n"
        running = {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
        while not httpx.post(f"{elsewhere['PREFECT_API_URL']}/flow_runs/filter", json=running).json():
            assert run.poll() is None  # the flow begins once the endpoint was found well
            time.sleep(0.05)
        os.kill(int(elsewhere["S3_PID"]), 9)
        told = run.stderr.read().splitlines()
        assert run.wait(200) == 5
    assert told[-1].startswith("genloop: s3://genloop at http://127.0.0.1:")
    assert [line for line in told[:-1] if not line.startswith(TOLD)] == []
    wanted = {"task_runs": {"name": {"any_": ["deliver samples by generator v1"]}}, "sort": "EXPECTED_START_TIME_DESC"}
    failed = httpx.post(f"{elsewhere['PREFECT_API_URL']}/task_runs/filter", json=wanted).json()[0]
    assert (failed["state_type"], failed["run_count"]) == ("FAILED", 3)
    last = status(workspace)["runs"][0]
    assert last["outcome"] == "failed" and "S3 did not do" in last["detail"]


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "GENLOOP_S3_ENDPOINT", "GENLOOP_MLFLOW_URI"])
def test_a_service_that_is_not_there_is_told_at_once(workspace: Path, name: str) -> None:
    done = genloop(workspace, {name: "http://127.0.0.1:9/api"}, "run")
    assert done.returncode == 5
    assert name in done.stderr and len(done.stderr.strip().splitlines()) == 1
