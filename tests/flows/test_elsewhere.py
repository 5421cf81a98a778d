"""A training on a worker of the pool `gpu`: another process, folder, environment and copy of the code."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from flows.names import name_of
from pipeline.params_file import override_params
from tests.flows.command import NO_FILTERS, genloop, until
from tests.flows.test_standing import SMALL, alive, prefect, up

ROOT = Path(__file__).parents[2]
PLACED = {"GENLOOP_GPU_STAGES": "train"}

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ports"), pytest.mark.timeout(900)]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "workspace"
    assert genloop(folder, "init", str(folder)).returncode == 0
    override_params(folder / "params.yaml", [*SMALL, NO_FILTERS])
    try:
        yield folder
    finally:
        genloop(folder, "down")
        assert alive(folder) == []


@contextmanager
def worker(tmp_path: Path, workspace: Path, services: dict[str, str]) -> Iterator[Path]:
    """One of the pool, with a copy of the code of its own; yields that copy. Its workspaces lie in `tmp_path / gpu`."""
    code, home = tmp_path / "code", tmp_path / "gpu"
    home.mkdir()
    for name in ("flows", "pipeline"):
        shutil.copytree(ROOT / name, code / name)
    for name in ("params.yaml", "dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, code)
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(workspace / "var/aws-credentials")
    environment = {name: text for name, text in os.environ.items() if not name.startswith(("GENLOOP_", "PREFECT_"))}
    environment |= {
        "PYTHONPATH": str(code),
        "GENLOOP_WORKSPACE": str(home),
        "GENLOOP_S3_ENDPOINT": services["s3"],
        "GENLOOP_MLFLOW_URI": services["mlflow"],
        "AWS_ACCESS_KEY_ID": ini["default"]["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": ini["default"]["aws_secret_access_key"],
        "AWS_DEFAULT_REGION": "us-east-1",
        "PREFECT_API_URL": f"{services['prefect']}/api",
        "PREFECT_HOME": str(home / "prefect"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gpu", "--type", "process"]
    with (home / "worker.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--install-policy", "never"], cwd=home, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield code
        finally:
            for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                one.kill()
            process.wait()


def ordered(server: httpx.Client, workspace: Path) -> list[str]:
    """States of the runs on the pool that are for an order; one that an automation begins anew has none."""
    wanted = {"deployments": {"name": {"any_": [name_of(workspace)]}}, "flows": {"name": {"any_": ["stage-ordered"]}}}
    found = server.post("/flow_runs/filter", json=wanted | {"sort": "START_TIME_ASC"}).raise_for_status().json()
    return [str(one["state_type"]) for one in found if any(tag.startswith("order:") for tag in one["tags"])]


def test_the_loop_goes_on_with_what_a_worker_elsewhere_trained(tmp_path: Path, workspace: Path) -> None:
    services = up(workspace)
    with worker(tmp_path, workspace, services), prefect(services) as server:
        done = genloop(workspace, "run", "--json", **PLACED)
        assert done.returncode == 0, done.stderr + (tmp_path / "gpu/worker.log").read_text()
        summary = json.loads(done.stdout)
        assert summary["model"]["alias"] == "champion" and summary["batches"][0]["items"] == 20
        assert not (workspace / "runs/train").exists(), "it was trained here"
        assert sorted(path.name for path in (tmp_path / "gpu/elsewhere").iterdir()) == ["cache"]
        assert ordered(server, workspace) == ["COMPLETED"]
        again = json.loads(genloop(workspace, "run", "--json", **PLACED).stdout)
        assert "train" in again["up_to_date"] and again["model"]["version"] == 1
        here = json.loads(genloop(workspace, "run", "--json").stdout)
        assert "train" in here["up_to_date"], "DVC does not take it for its own"
        assert ordered(server, workspace) == ["COMPLETED"]


def test_a_run_that_is_killed_on_the_worker_is_ordered_again(tmp_path: Path, workspace: Path) -> None:
    override_params(workspace / "params.yaml", ["train.images_seen=12800"])
    services = up(workspace)
    with worker(tmp_path, workspace, services), prefect(services) as server:
        run = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "run", "--json"],
            env={**os.environ, "GENLOOP_WORKSPACE": str(workspace), **PLACED},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        home = tmp_path / "gpu/elsewhere"
        until(lambda: bool(list(home.glob("*/runs/train/*/plan.json"))), "a training on the worker", 300)
        for process in psutil.process_iter(["cmdline"]):
            told = process.info["cmdline"] or []
            if (
                "prefect" in " ".join(told)
                and "worker" not in told
                and str(home.parent) in process.environ().get("GENLOOP_WORKSPACE", "")
            ):
                process.kill()
        told = run.communicate(timeout=500)[0]
        assert run.returncode == 0 and json.loads(told)["model"]["alias"] == "champion"
        assert ordered(server, workspace) == ["CRASHED", "COMPLETED"]


def test_another_server_is_told_what_runs_by_itself(workspace: Path) -> None:
    services = up(workspace)
    url = f"{services['prefect']}/api"
    with prefect(services) as server:
        server.delete("/work_pools/gpu").raise_for_status()
        server.post("/work_pools/", json={"name": "gpu", "type": "kubernetes"}).raise_for_status()
    done = genloop(workspace, "deploy", "--json", PREFECT_API_URL=url, GENLOOP_DEPLOYMENT="main")
    assert done.returncode == 0, done.stderr
    told = {one["name"]: (one["pool"], one["cron"]) for one in json.loads(done.stdout)}
    assert told["stage-ordered/main"] == ("gpu", []) and told["clean-due/main"] == ("cpu", ["40 4 * * *"])
    assert len(told) == 7
    with prefect(services) as server:
        assert server.get("/work_pools/gpu").json()["type"] == "kubernetes", "a pool that was there is another now"
    done = genloop(workspace, "deploy", "--no-schedules", PREFECT_API_URL=url, GENLOOP_DEPLOYMENT="main")
    assert done.returncode == 0 and "40 4" not in done.stdout, done.stdout + done.stderr


def test_other_code_on_the_worker_is_refused(tmp_path: Path, workspace: Path) -> None:
    services = up(workspace)
    with worker(tmp_path, workspace, services) as code:
        with (code / "pipeline/training/update.py").open("a") as file:
            file.write("\nOTHER = True\n")
        done = genloop(workspace, "run", **PLACED)
        assert done.returncode == 5, done.stderr
        assert (
            "this worker has other code than who ordered stage train: pipeline/training" in done.stderr.splitlines()[-1]
        )
        assert "Traceback" not in done.stderr
