"""What a workspace tells Prefect, for automations to answer; infra/prefect.yaml names what waits for each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from flows import services
from flows.names import resource_of

SNAPSHOT_MADE, RETRAIN_ASKED = "genloop.snapshot.made", "genloop.retrain.asked"
DRAIN_S = 5.0


def tell(event: str, workspace: Path, payload: Mapping[str, object]) -> bool:
    """Whether there is a Prefect to tell: the one that the environment names, or that is up here. Else nothing waits
    for it either."""
    if "PREFECT_API_URL" not in os.environ:
        here = [one.url for one in services.running(workspace) if one.name == "prefect"]
        if not here:
            return False
        os.environ["PREFECT_API_URL"] = f"{here[0]}/api"
    from prefect.events import emit_event
    from prefect.events.worker import EventsWorker

    emit_event(event, {"prefect.resource.id": resource_of(workspace)}, payload=dict(payload))
    EventsWorker.drain_all(timeout=DRAIN_S)
    return True
