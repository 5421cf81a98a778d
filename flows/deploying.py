"""Has Prefect know what it runs of a workspace: infra/prefect.yaml, by Prefect's own command, and automations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.names import name_of
from flows.prefect_api import prefect_api
from flows.records import Service
from flows.servers import POOL, POOLS, working_environment
from pipeline.errors import ParamsError, ServiceError
from pipeline.files import sha256_file, write_json

if TYPE_CHECKING:
    from httpx import Client

INFRA = Path(__file__).parents[1] / "infra"
DEPLOYMENTS, AUTOMATIONS = INFRA / "prefect.yaml", INFRA / "automations.yaml"
DONE = Path("var/prefect/deployed.json")
ONE_AT_A_TIME = "one-at-a-time"  # the queue of what writes to the workspace
PATIENCE_S = 300


def deploy(workspace: Path, prefect: Service, schedules: bool = True, anew: bool = False) -> bool:
    """schedules: whether they are active. What was deployed to this database before stays, unless `anew`; whether
    anything was not. Raises ServiceError.
    """
    told = {
        "name": name_of(workspace),
        "deployments": sha256_file(DEPLOYMENTS),
        "automations": sha256_file(AUTOMATIONS),
        "schedules": schedules,
    }
    receipt = workspace / DONE
    if not anew and receipt.exists() and json.loads(receipt.read_text()) == told:
        return False
    with prefect_api(prefect) as client:
        there = {one["name"] for one in client.post("/work_pools/filter", json={}).json()}
        for pool in POOLS:
            if pool not in there:  # one that is there may be of containers
                _prefect(workspace, prefect, "work-pool", "create", pool, "--type", "process")
        _make_queue(client)
        _prefect(workspace, prefect, "deploy", "--all", "--no-prompt", "--prefect-file", str(DEPLOYMENTS))
        _renew_automations(client)
        if not schedules:
            _stop_schedules(workspace, client)
    if not anew:
        write_json(receipt, told)
    return True


def deployed(workspace: Path, prefect: Service) -> list[dict[str, Any]]:
    """Name, id and pool of each deployment, and when it runs by the clock (UTC)."""
    with prefect_api(prefect) as client:
        flows = {one["id"]: one["name"] for one in client.post("/flows/filter", json={}).json()}
        found = _deployments(workspace, client)
    return [
        {
            "name": f"{flows[one['flow_id']]}/{one['name']}",
            "id": one["id"],
            "pool": one["work_pool_name"],
            "cron": [told["schedule"]["cron"] for told in one["schedules"] if told["active"]],
        }
        for one in sorted(found, key=lambda one: str(flows[one["flow_id"]]))
    ]


def named_server() -> Service:
    """The one of PREFECT_API_URL. Raises ParamsError where none is named."""
    url = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    if not url:
        raise ParamsError("PREFECT_API_URL is not set", remedy="set it, or `genloop up` for a server here")
    return Service("prefect", url.removesuffix("/api"), pid=0)


def _make_queue(client: Client) -> None:
    queues = f"/work_pools/{POOL}/queues"
    if all(one["name"] != ONE_AT_A_TIME for one in client.post(f"{queues}/filter", json={}).json()):
        client.post(queues, json={"name": ONE_AT_A_TIME, "concurrency_limit": 1})


def _renew_automations(client: Client) -> None:
    """Those of the file, each in place of one of its name."""
    from ruamel.yaml import YAML

    ids = {one["name"]: one["id"] for one in client.post("/automations/filter", json={}).json()}
    for wanted in YAML(typ="safe").load(AUTOMATIONS.read_text())["automations"]:
        if there := ids.get(wanted["name"]):
            client.put(f"/automations/{there}", json=wanted)
        else:
            client.post("/automations/", json=wanted)


def _deployments(workspace: Path, client: Client) -> list[dict[str, Any]]:
    wanted = {"deployments": {"name": {"any_": [name_of(workspace)]}}}
    return list(client.post("/deployments/filter", json=wanted).json())


def _stop_schedules(workspace: Path, client: Client) -> None:
    for found in _deployments(workspace, client):
        for one in found["schedules"]:
            client.patch(f"/deployments/{found['id']}/schedules/{one['id']}", json={"active": False})


def _prefect(workspace: Path, prefect: Service, *words: str) -> None:
    environment = working_environment(workspace, prefect)
    command = [sys.executable, "-m", "prefect", *words]
    done = subprocess.run(
        command, env=environment, cwd=workspace, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()] or ["no word"]
        raise ServiceError(f"`prefect {words[0]}` failed: {lines[-1].strip()}", where=prefect.url)
