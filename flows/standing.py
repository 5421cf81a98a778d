"""All that a workspace needs to run by itself on one machine: servers, worker, review page, deployments."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from flows import services, wiring
from flows.deploying import deploy
from flows.names import name_of
from flows.prefect_api import prefect_api
from flows.reconcile import WHY
from flows.records import Service

SERVERS, WORKING = ("s3", "prefect", "mlflow"), ("review", "metrics", "worker")


def stand_up(workspace: Path, schedules: bool) -> list[Service]:
    """What is up already is kept. schedules: whether what is due by the clock is run. Raises ServiceError."""
    servers = services.up(workspace, SERVERS)
    found = {service.name: service for service in servers}
    wiring.point_versions(workspace, found["s3"])
    deploy(workspace, found["prefect"], schedules)
    if not any(service.name == "worker" for service in services.running(workspace)):
        _go_on(workspace, found["prefect"])
    return [*servers, *services.up(workspace, WORKING)]


def _go_on(workspace: Path, prefect: Service) -> None:
    """Have what a worker that is gone was at run again: Prefect would know only after minutes that it is dead."""
    mine = {"deployments": {"name": {"any_": [name_of(workspace)]}}}
    unended = {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}}
    again = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": WHY}
    with prefect_api(prefect) as client:
        for run in client.post("/flow_runs/filter", json=mine | unended).json():
            now = {"state_details": {"scheduled_time": datetime.now(UTC).isoformat()}}
            client.post(f"/flow_runs/{run['id']}/set_state", json={"state": again | now, "force": True})
