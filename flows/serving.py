"""What Prefect runs of a workspace: its deployments, and the automation that retrains when that is asked for."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from flows.retraining import ASKED, feedback_due, name_of, resource_of, retrain

EVERY = timedelta(hours=1)  # a round of feedback


def serve_workspace(workspace: Path) -> None:
    """Have the deployments known, and run what is scheduled or triggered, one after the other, until it is stopped."""
    asyncio.run(_serve(workspace))


async def _serve(workspace: Path) -> None:
    from prefect.deployments.runner import EntrypointType  # type: ignore[attr-defined]
    from prefect.events import DeploymentEventTrigger
    from prefect.runner import Runner

    asked = DeploymentEventTrigger(
        name=f"retrain {name_of(workspace)}",
        expect={ASKED},
        match={"prefect.resource.id": resource_of(workspace)},
        parameters={"workspace": str(workspace), "why": "{{ event.payload.why }}"},
    )
    runner = Runner(limit=1)
    await runner.aadd_flow(
        retrain,
        name=name_of(workspace),
        parameters={"workspace": str(workspace)},
        triggers=[asked],
        concurrency_limit=1,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    await runner.aadd_flow(
        feedback_due,
        name=name_of(workspace),
        parameters={"workspace": str(workspace)},
        interval=EVERY,
        concurrency_limit=1,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    await runner.start()
