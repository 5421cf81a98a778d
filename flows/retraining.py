"""Retraining: a Prefect event that asks for it, and the deployed flow that an automation starts then."""

from __future__ import annotations

import time
from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run

from flows.running import looped
from pipeline.files import sha256_json
from pipeline.settings import load_params

ASKED = "genloop.retrain.asked"


@flow(name="retrain", flow_run_name="retrain: {why}")
def retrain(workspace: str, why: str = "by hand") -> None:
    """The whole loop on the newest data and feedback. Where a person has to agree to the new model, the run is
    suspended; resumed, it begins anew, finds all done, hears nothing that is younger, and goes on with what was
    said."""
    from flows.cli_tools import prepare_at

    root, resumed = prepare_at(Path(workspace)), (flow_run.run_count or 1) > 1
    summary = looped(root, load_params(root / "params.yaml"), time.perf_counter(), listen=not resumed)
    if summary.model.awaits:
        from prefect.flow_runs import suspend_flow_run

        suspend_flow_run(timeout=None)


@flow(name="feedback-due", flow_run_name="feedback due")
def feedback_due(workspace: str) -> None:
    """A round of feedback, as a schedule runs it."""
    from flows.cli_tools import prepare_at
    from flows.rounds import feedback_round

    root = prepare_at(Path(workspace))
    feedback_round(root, load_params(root / "params.yaml"))


def ask_to_retrain(workspace: Path, why: str) -> None:
    """Emit the event that the automation waits for."""
    from prefect.events import emit_event

    emit_event(ASKED, {"prefect.resource.id": resource_of(workspace)}, payload={"why": why})


def resource_of(workspace: Path) -> str:
    return f"genloop.workspace.{name_of(workspace)}"


def name_of(workspace: Path) -> str:
    """Of its deployments: one server may have those of several workspaces."""
    return f"{workspace.name}-{sha256_json(str(workspace))[:6]}"
