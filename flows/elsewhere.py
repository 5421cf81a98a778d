"""A stage on a worker of the pool `gpu`: ordered by the loop, made in a workspace of that worker's own, taken back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed

from flows import wiring
from flows.cli_tools import prepare_at
from flows.names import name_of
from flows.staleness import bring_up_to_date
from flows.workspaces import make_workspace
from pipeline import stages
from pipeline.adapters.exchange import Exchange
from pipeline.adapters.handover import (
    StageOrder,
    done_with,
    give_back,
    give_up,
    order_for,
    send_inputs,
    take_back,
    take_inputs,
)
from pipeline.environment import workspace as base
from pipeline.errors import GenloopError, ServiceError
from pipeline.values import Shards, Snapshot

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

HOME, CACHE = "elsewhere", "cache"  # of a worker: a workspace for each order, and what they have in common
ATTEMPTS = 3
LOOK_S = 2.0


def brought_up_to_date(workspace: Path, stage: str) -> bool:
    """Have a worker of the pool make the stage unless it is up to date; whether anything was made.

    A run of the same order that is at work, as of a loop that was killed, is waited for. Raises ServiceError where the
    workers crashed again and again, and what the stage raised there.
    """
    if not Exchange(workspace).is_stale(stage):
        return False
    order = order_for(workspace, stage, stages.read_snapshot(workspace).id)
    send_inputs(workspace, order)
    done = done_with(workspace, order)
    for _ in range(ATTEMPTS):
        if done and not done.error:
            break
        run = _ordered(workspace, order)
        done = done_with(workspace, order)
        if done and done.error:
            done.raise_error()
    if done is None:
        told = run.state.message if run.state else ""
        raise ServiceError(f"stage {stage} was not made in {ATTEMPTS} attempts: {told}", where=f"Prefect: {run.name}")
    take_back(workspace, order, done, workspace / stages.RECEIPTS / f"{stage}.json")
    return True


def _ordered(workspace: Path, order: StageOrder) -> FlowRun:
    """The run of an order, once it has ended."""
    name, tag = f"stage-ordered/{name_of(workspace)}", f"order:{order.id}"
    ended = {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]}}
    with get_client(sync_client=True) as client:
        before = client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"tags": {"all_": [tag]}, "state": ended})
        )
    try:
        run: Any = run_deployment(
            name,
            parameters={"order": order.model_dump()},
            flow_run_name=f"{order.stage} on {order.snapshot[:8]}",
            poll_interval=LOOK_S,
            tags=[tag],
            idempotency_key=f"{order.id}-{len(before)}",
        )
    except ObjectNotFound as error:
        remedy = "`genloop up`, or `genloop deploy` for a Prefect elsewhere, deploys it"
        raise ServiceError("no deployment that makes stages elsewhere", where=name, remedy=remedy) from error
    return run  # type: ignore[no-any-return]


@flow(name="stage-ordered", validate_parameters=False)
def stage_ordered(order: dict[str, Any] | None = None) -> State[None]:
    """On the worker. Killed and begun again here, it goes on from its checkpoints."""
    if order is None:
        return Completed(message="nothing was ordered")
    asked = StageOrder.model_validate(order)
    home = base() / HOME  # before the environment names another one
    root = home / asked.id
    make_workspace(root)
    prepare_at(root)
    Exchange(root).share_cache(home / CACHE)
    wiring.point_versions(root, None)
    receipt = root / stages.RECEIPTS / f"{asked.stage}.json"
    try:
        take_inputs(root, asked)
        _check(root, asked)
        bring_up_to_date(root, asked.stage)
        give_back(root, asked, receipt)
    except GenloopError as error:
        give_up(root, asked, error)
        raise
    shutil.rmtree(root)
    return Completed(message=f"{asked.stage} on {asked.snapshot[:8]}")


def _check(root: Path, asked: StageOrder) -> None:
    """Raises ServiceError where what came is not of the snapshot that was meant."""
    for told, kind in ((stages.SHARDS / "shards.json", Shards), (stages.SNAPSHOT / "snapshot.json", Snapshot)):
        if (root / told).exists():
            value = kind.model_validate_json((root / told).read_text())
            found = value.snapshot if isinstance(value, Shards) else value.id
            if found != asked.snapshot:
                raise ServiceError(f"what came is of snapshot {found}, and not of {asked.snapshot}", where=str(told))
