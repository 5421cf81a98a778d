"""What Prefect runs of a workspace by the clock or on an event: infra/prefect.yaml says when.

Each is the work of a command, and ends in seconds where there is nothing to do. One that would write to a workspace
waits until the run that is at work there has ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.cli_tools import only_run, prepare_at
from flows.events import SNAPSHOT_MADE, tell
from flows.notices import tell_people
from flows.summary import ModelSummary
from pipeline.errors import GenloopError
from pipeline.ids import known_as
from pipeline.params_file import load_params
from pipeline.settings import Params
from pipeline.trace import flush, span

PATIENCE_S = 6 * 3600.0  # a training may be at work


@flow(name="update-due", flow_run_name="update")
def update(workspace: str) -> State[None]:
    """Collect, validate, record a version; an automation has the whole loop run on it."""
    from flows import dataset

    with _workspace(workspace) as (root, params):
        with only_run(root, PATIENCE_S):
            version = dataset.update(root, params, "update")
        if version is None:
            return Completed(message="nothing changed at the sources")
        tell(SNAPSHOT_MADE, root, {"version": version.number})
        return Completed(message=f"version {version.number}")


@flow(name="loop-due", flow_run_name="loop")
def whole_loop(workspace: str) -> State[None]:
    from flows.running import looped

    with _workspace(workspace) as (root, params):
        summary = looped(root, params, time.perf_counter(), wait_s=PATIENCE_S)
        _tell_of(root, summary.model)
        return Completed(message=summary.model.decision)


@flow(name="retrain", flow_run_name="retrain: {why}")
def retrain(workspace: str, why: str = "by hand") -> None:
    """The whole loop on the newest data and feedback. Where a person has to agree to the new model, the run is
    suspended; resumed, it begins anew, finds all done, hears nothing that is younger, and goes on with what was
    said."""
    from flows.running import looped

    resumed = (flow_run.run_count or 1) > 1
    with _workspace(workspace) as (root, params):
        summary = looped(root, params, time.perf_counter(), listen=not resumed, wait_s=PATIENCE_S)
        _tell_of(root, summary.model)
    if summary.model.awaits:
        from prefect.flow_runs import suspend_flow_run

        suspend_flow_run(timeout=None)


@flow(name="batches-due", flow_run_name="batches")
def batches_due(workspace: str) -> State[None]:
    from flows.batches import delivered_due

    with _workspace(workspace) as (root, params):
        made = delivered_due(root, params)
        return Completed(message=", ".join(f"{batch.order} {batch.id}" for batch in made) or "nothing is due")


@flow(name="feedback-due", flow_run_name="feedback")
def feedback_due(workspace: str) -> State[None]:
    from flows.rounds import feedback_round

    with _workspace(workspace) as (root, params):
        told = feedback_round(root, params)
        if told.step.action == "review":
            tell_people(root, "reviews are wanted", "; ".join(reason.text for reason in told.step.reasons))
        return Completed(message=f"decision {told.number}: {told.step.action}")


@flow(name="clean-due", flow_run_name="clean")
def clean_due(workspace: str) -> State[None]:
    from flows.clean import clean

    with _workspace(workspace) as (root, params), only_run(root, PATIENCE_S):
        done = clean(root, params)
        return Completed(message=f"{done.things} things, {done.bytes / 1e6:.0f} MB")


@contextmanager
def _workspace(workspace: str) -> Iterator[tuple[Path, Params]]:
    """People are told of what fails: nobody sits before it."""
    root = prepare_at(Path(workspace))
    try:
        with known_as(run=str(flow_run.id)), span(str(flow_run.flow_name)):  # the loop's has its receipt's name
            yield root, load_params(root / "params.yaml")
    except GenloopError as error:
        tell_people(root, f"{flow_run.flow_name} failed: {error.what}", f"{error}")
        raise
    finally:
        flush()


def _tell_of(root: Path, model: ModelSummary) -> None:
    """What became of a training, where that is a person's business."""
    if model.awaits:
        text = f"{model.decision}. Its samples and figures are on the review page, below Models."
        tell_people(root, f"{model.name} v{model.version} waits for your word", text)
    elif not model.promoted and model.alias == "challenger":
        tell_people(root, f"{model.name} v{model.version} failed its gates", model.decision)
