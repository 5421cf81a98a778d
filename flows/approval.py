"""A person's word on a model that passed its gates: asked for, given, and what then goes on."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from flows import wiring
from pipeline.adapters.approvals import BEFORE, CANARY, OPEN, approval_of, asked_for, note_approval
from pipeline.errors import GenloopError
from pipeline.log import log
from pipeline.promote import with_approval
from pipeline.settings import Params
from pipeline.values import Approval, Decision, ModelVersion

if TYPE_CHECKING:
    from pipeline.adapters.registry import Registry


def agreed(registry: Registry, model: ModelVersion, decision: Decision) -> Decision:
    """The decision with a person's word in it, which is asked for where it is still to be given."""
    from prefect.runtime import deployment, flow_run

    decision = with_approval(decision, approval_of(registry, model), model.version)
    if decision.awaits:
        run = str(flow_run.root_flow_run_id or "") if deployment.id else ""
        note_approval(registry, model, Approval(state="asked", at=_now(), run=run))
    return decision


def promoted(registry: Registry, model: ModelVersion) -> ModelVersion:
    """Champion from now on; with the one before it is compared."""
    before = registry.champion(model.name)
    if before and before.version != model.version:
        registry.tag(model, BEFORE, str(before.version))
        registry.tag(model, CANARY, OPEN)
    log("champion promoted", model=f"{model.name} v{model.version}", before=before.version if before else None)
    return registry.promote(model)


def answer(workspace: Path, params: Params, version: int, by: str, why: str, yes: bool) -> ModelVersion:
    """Have a version promoted, or rejected, by a person; any that is registered may be promoted, which is the way back
    too. Raises GenloopError where there is no such version, or one that does not wait is to be rejected."""
    registry, name = wiring.registry(workspace), params.promote.name
    model = registry.version(name, version)
    if model is None:
        raise GenloopError(f"the registry has no {name} v{version}", remedy="`genloop status` names the last ones")
    said = approval_of(registry, model)
    if not yes and (said is None or said.state != "asked"):
        told = ", ".join(f"v{one.version}" for one in asked_for(registry, name)) or "none does"
        raise GenloopError("does not wait for an answer", where=f"{name} v{version}", remedy=f"waiting: {told}")
    given = Approval(state="approved" if yes else "rejected", by=by, at=_now(), why=why)
    note_approval(registry, model, given)
    model = promoted(registry, model) if yes else model
    if said and said.run:
        _resume(workspace, said.run)
    return model


def _resume(workspace: Path, run: str) -> None:
    """Whoever waits for it; where Prefect no more knows it, the next run does what is left."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with wiring.environment_for_run(workspace, ("prefect",)) as services:
        services.wait(timeout_s=120)
        with wiring.prefect_failures(), suppress(ObjectNotFound), get_client(sync_client=True) as client:
            client.resume_flow_run(UUID(run))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
