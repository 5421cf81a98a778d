"""What Prefect shows of a run of the loop: artifacts, and a name that says which data and model."""

from __future__ import annotations

import re

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from flows.summary import Summary, in_markdown
from pipeline.settings import Params


def show_in_prefect(params: Params, summary: Summary) -> None:
    """To be called within the run."""
    _tell(summary)
    _name_run(params, summary)


def _name_run(params: Params, summary: Summary) -> None:
    """Say which data and model, now that they are known."""
    source = params.collect.title.rstrip("/").rpartition("/")[2]
    model = summary.model
    name = f"{source} {summary.snapshot.id[:8]} → {model.name} v{model.version} {model.alias}"
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, name=name)


def _tell(summary: Summary) -> None:
    rows = [
        {
            "metric": name,
            "model": value,
            "champion": summary.model.champion.get(name),
            "floor": summary.model.floor.get(name),
        }
        for name, value in summary.model.scorecard.items()
    ]
    create_table_artifact(rows, key="scorecard", description=f"{summary.model.name} v{summary.model.version}")
    create_markdown_artifact(f"Samples: `{summary.picture}`\n\n{summary.model.decision}", key="samples")
    create_markdown_artifact(in_markdown(summary), key="run", description=f"Run {summary.run}")
    for batch in summary.batches:
        key = f"batch-{re.sub('[^a-z0-9]+', '-', batch.order.lower()).strip('-')}"
        create_link_artifact(batch.uri, key=key, link_text=f"{batch.order}: {batch.items} items")
