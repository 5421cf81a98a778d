"""What a run that was killed left behind, set right by the next: no record goes on saying that it is at work.

Data needs no repair: what is written becomes visible whole or not at all, and the next run goes on from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from flows import wiring
from flows.history import HISTORY, RunRecord
from flows.names import tag_of
from pipeline.files import write_json

if TYPE_CHECKING:
    from pipeline.adapters.registry import Registry

WHY = "its process ended without a word"
MOST = 200  # of Prefect's runs in one answer


def reconcile(workspace: Path, at_work: bool) -> list[str]:
    """To be called by who holds the workspace's lock: nobody else is at work then. at_work: the newest receipt is
    their own.

    Returns what was mended, a line each: in the history, Prefect and MLflow, which say of runs what they do.
    """
    return [*_history(workspace, at_work), *_prefect(workspace), *_mlflow(wiring.registry(workspace))]


def _history(workspace: Path, at_work: bool) -> list[str]:
    mended = []
    paths = sorted((workspace / HISTORY).glob("[0-9]*.json"))
    for path in paths[:-1] if at_work else paths:
        try:
            run = RunRecord.model_validate_json(path.read_text())
        except (OSError, ValidationError):
            continue
        if run.outcome == "running":
            write_json(path, run.model_copy(update={"outcome": "killed", "detail": WHY}).model_dump())
            mended.append(f"history: the run of {run.started_at} was killed")
    return mended


def _prefect(workspace: Path) -> list[str]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.states import Crashed

    unended = {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}
    wanted = FlowRunFilter.model_validate({"tags": {"all_": [tag_of(workspace)]}, "state": unended})
    mended = []
    with wiring.prefect_failures(), get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=wanted, limit=MOST):
            client.set_flow_run_state(run.id, Crashed(message=WHY), force=True)
            mended.append(f"Prefect: {run.name} was killed")
    return mended


def _mlflow(registry: Registry) -> list[str]:
    return [f"MLflow: {name} was killed" for name in registry.end_killed_trainings()]
