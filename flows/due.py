"""The batches that the clock asks for, as one Prefect flow: what a schedule runs."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows import batches
from flows.loop import deliver
from pipeline.settings import Params
from pipeline.values import Batch


@flow(name="batches", flow_run_name="batches due", validate_parameters=False)
def deliver_due(workspace: Path, params: Params) -> list[Batch]:
    """One batch of each order for this hour, day, week or month; those that are delivered already cost nothing."""
    champion = batches.champion_of(workspace, params)
    return [batch for name in batches.due(params) for batch in deliver(workspace, params, name, champion)]
