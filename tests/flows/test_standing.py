"""What runs by itself: deployments as Prefect reads them, and what is left of killed runs set right."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.flows import Flow, load_flow_from_entrypoint
from ruamel.yaml import YAML

from flows import deploying, events
from flows.names import name_of, tag_of
from flows.running import repaired
from flows.servers import POOLS
from pipeline.adapters.registry import SQLITE, Registry
from pipeline.environment import LOCAL_REGISTRY
from pipeline.params_file import override_params
from tests.flows.command import NO_FILTERS, command, genloop, until

ROOT = Path(__file__).parents[2]
SMALL = ["train.images_seen=6400", "evaluate.classifier_steps=10", "evaluate.tstr_images=100", NO_FILTERS]
SMALL += ["batches.samples.count=20", "promote.gates={nfd: {at_most: 1000000.0}}", "promote.slack={}"]
RAW = YAML(typ="safe").load(deploying.DEPLOYMENTS.read_text())
DEPLOYED = RAW["deployments"]

pytestmark = pytest.mark.xdist_group("ports")


@pytest.mark.parametrize("told", DEPLOYED, ids=lambda told: str(told["entrypoint"]))
def test_what_is_deployed_can_be_called(told: dict[str, Any]) -> None:
    found = load_flow_from_entrypoint(told["entrypoint"], use_placeholder_flow=False)
    assert isinstance(found, Flow)
    inspect.signature(found.fn).bind(**told["parameters"])
    assert told["work_pool"]["name"] in POOLS
    assert re.search(rf"^\| `{found.name}` \|", (ROOT / "README.md").read_text(), re.M)


def test_prefect_knows_every_key_of_the_file() -> None:
    read = PrefectYamlModel.model_validate(RAW)
    for told, one in zip(DEPLOYED, read.deployments, strict=True):
        assert set(told) <= set(type(one).model_fields)


def test_each_event_has_somebody_who_waits_for_it() -> None:
    awaited = {name for told in DEPLOYED for trigger in told.get("triggers", []) for name in trigger["expect"]}
    assert awaited == {events.SNAPSHOT_MADE, events.RETRAIN_ASKED}


@pytest.mark.parametrize("automation", YAML(typ="safe").load(deploying.AUTOMATIONS.read_text())["automations"])
def test_automations_are_about_runs_of_ours(automation: dict[str, Any]) -> None:
    """As Prefect itself judges an event."""
    from prefect.server.events.schemas.automations import EventTrigger
    from prefect.server.events.schemas.events import ReceivedEvent

    trigger = EventTrigger.model_validate({key: told for key, told in automation["trigger"].items() if key != "type"})
    for tag, is_ours in (("genloop", True), ("billing", False)):
        told = {
            "occurred": "2026-11-25T12:00:00Z",
            "event": automation["trigger"]["expect"][0],
            "resource": {"prefect.resource.id": "prefect.flow-run.1"},
            "related": [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}],
            "id": "01a212df-6188-7ddb-a687-dc0000000000",
        }
        assert trigger.covers(ReceivedEvent.model_validate(told)) is is_ours


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    assert genloop(folder, "init", str(folder)).returncode == 0
    return folder


@pytest.mark.slow
def test_what_a_killed_run_left_is_set_right_once(workspace: Path) -> None:
    """Killed for real while it trains, with the Prefect that was its own."""
    settings = [word for pair in SMALL for word in ("-S", pair)]
    run = subprocess.Popen(**command(workspace, "run", *settings, "-S", "train.images_seen=1000000"))
    until(lambda: bool(list((workspace / "runs").glob("train/*/*"))), "the training to begin", 200)
    time.sleep(3)
    run.send_signal(signal.SIGKILL)
    run.wait()
    registry = Registry(f"{SQLITE}{workspace / LOCAL_REGISTRY}", workspace / "var/mlartifacts")
    until(lambda: not alive(workspace), "its children to end", 60)
    mended = repaired(workspace)
    assert [line.partition(":")[0] for line in mended] == ["history", "Prefect", "MLflow"], mended
    assert "killed" in (workspace / "runs/history").glob("*.json").__next__().read_text()
    found = registry.client.search_runs([registry.experiment], "tags.training != ''")
    assert [one.info.status for one in found] == ["KILLED"]
    assert repaired(workspace) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_new_version_is_trained_on_and_a_machine_that_goes_down_goes_on(workspace: Path) -> None:
    override_params(workspace / "params.yaml", SMALL)
    try:
        with prefect(up(workspace)) as server:
            run(server, "update-due", workspace)
            until(lambda: runs(server, "loop-due") == [("COMPLETED", 1)], "the loop on the new version", 300)
            override_params(workspace / "params.yaml", ["train.images_seen=64000"])
            run(server, "loop-due", workspace)
            until(lambda: (workspace / "runs/train").exists() and trains(workspace), "a training", 120)
        for process in alive(workspace):
            os.kill(process, signal.SIGKILL)
        override_params(workspace / "params.yaml", ["train.images_seen=6400"])
        with prefect(up(workspace)) as server:
            wanted = [("COMPLETED", 2), ("COMPLETED", 1)]
            until(lambda: runs(server, "loop-due") == wanted, "the same run to go on", 300)
            assert {state for state, _ in runs(server, "loop")} == {"COMPLETED", "CRASHED"}
    finally:
        genloop(workspace, "down")
    assert alive(workspace) == []
    assert len(json.loads(genloop(workspace, "status", "--json").stdout)["runs"]) == 3


def up(workspace: Path) -> dict[str, str]:
    done = genloop(workspace, "up", "--no-schedules", "--json")
    assert done.returncode == 0, done.stderr
    return {one["name"]: one["url"] for one in json.loads(done.stdout)}


def prefect(services: dict[str, str]) -> httpx.Client:
    return httpx.Client(base_url=f"{services['prefect']}/api", timeout=30, trust_env=False)


def run(server: httpx.Client, flow: str, workspace: Path) -> None:
    found = server.get(f"/deployments/name/{flow}/{name_of(workspace)}").raise_for_status().json()
    server.post(f"/deployments/{found['id']}/create_flow_run", json={}).raise_for_status()


def runs(server: httpx.Client, flow: str) -> list[tuple[str, int]]:
    """State, and how often it was begun; the newest first."""
    asked = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC"}
    found = server.post("/flow_runs/filter", json=asked).raise_for_status().json()
    return [(one["state_type"], one["run_count"]) for one in found]


def alive(workspace: Path) -> list[int]:
    """Processes of this workspace: those that have it in their environment, as all that we start do."""
    return list(_of(workspace))


def trains(workspace: Path) -> bool:
    return any("train" in psutil.Process(pid).cmdline() for pid in _of(workspace) if psutil.pid_exists(pid))


def _of(workspace: Path) -> Iterator[int]:
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            mine = environment.get("GENLOOP_WORKSPACE") == str(workspace) or str(workspace) in process.cwd()
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                yield process.pid
        except psutil.Error:
            continue


def test_names_of_two_workspaces_differ(tmp_path: Path) -> None:
    assert name_of(tmp_path / "a" / "x") != name_of(tmp_path / "b" / "x")
    assert tag_of(tmp_path) == f"genloop:{name_of(tmp_path)}"
