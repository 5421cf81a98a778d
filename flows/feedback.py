"""Feedback as one Prefect flow: gather what is new, learn, decide, act, and keep all of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, task

from flows import wiring
from flows.batches import champion_of
from flows.canary import compared
from flows.enrolling import enroll_new
from flows.events import RETRAIN_ASKED, tell
from flows.gathering import facts_of
from flows.learning import learned
from pipeline.feedback.decide import NextStep, decide
from pipeline.feedback.facts import Facts
from pipeline.feedback.outcome import outcome_of
from pipeline.preference.estimate import uplift
from pipeline.reviews import Tally
from pipeline.settings import Params
from pipeline.values import ModelVersion, Value

if TYPE_CHECKING:
    from pipeline.adapters.ratings import Ratings

INSIDE = "in review"  # of a decision's inputs: the batches that were there


class Told(Value):
    """What a round of feedback came to. number: of the decision in the log. canary: what the comparison of champions
    said, if there is one; uplift: how much more is accepted of what was taken by preference than of what was not, of
    items that were shown at random; preference, scorecard: of the preference model, where there is enough to learn."""

    number: int
    enrolled: int
    facts: Facts
    step: NextStep
    canary: dict[str, Any] | None = None
    uplift: dict[str, Any] | None = None
    preference: int | None = None
    scorecard: dict[str, float] = {}


@task(task_run_name="take in new batches")
def enroll(params: Params, ratings: Ratings) -> int:
    return enroll_new(params, ratings)


@task(task_run_name="compare champions")
def compare(workspace: Path, params: Params, ratings: Ratings) -> dict[str, Any] | None:
    found = compared(wiring.registry(workspace), params, ratings)
    return found.model_dump() if found else None


@task(task_run_name="gather facts on {champion.name} v{champion.version}")
def gather(workspace: Path, params: Params, ratings: Ratings, champion: ModelVersion, now: datetime) -> Facts:
    return facts_of(workspace, params, wiring.registry(workspace), ratings, champion, now)


@task(task_run_name="learn what people like")
def learn(
    workspace: Path, params: Params, ratings: Ratings, champion: ModelVersion
) -> tuple[int | None, dict[str, float]]:
    with learned(workspace, params, wiring.registry(workspace), champion, ratings) as found:
        return (found.version, found.metrics) if found else (None, {})


@task(task_run_name="conclude earlier decisions")
def conclude(ratings: Ratings) -> None:
    """Say of each decision whether ratings rose since, once enough is judged of what was made after it."""
    for told in ratings.decisions():
        if told["outcome"] is None and INSIDE in told["inputs"]:
            found = outcome_of(told["inputs"]["accepted"], told["inputs"][INSIDE], ratings.tallies("batch"))
            if found:
                ratings.conclude(told["id"], found.model_dump())


@flow(name="feedback", flow_run_name="feedback", validate_parameters=False)
def feedback(workspace: Path, params: Params) -> Told:
    """One round. Retraining is asked for by an event, which an automation answers."""
    now = datetime.now(UTC)
    with wiring.ratings(workspace) as ratings:
        enrolled = enroll(params, ratings)
        canary = compare(workspace, params, ratings)
        champion = champion_of(workspace, params)
        facts = gather(workspace, params, ratings, champion, now)
        arms = ratings.tallies("arm", sampled=True)
        gain = uplift(arms.get(("preferred",), Tally()), arms.get(("control",), Tally()))
        step = decide(facts, params.feedback.deciding, params.review, now)
        preference, scorecard = learn(workspace, params, ratings, champion)
        conclude(ratings)
        inputs = {**facts.model_dump(mode="json"), INSIDE: sorted(ratings.known()), "canary": canary}
        number = ratings.log_decision(inputs, step.model_dump(mode="json"))
    if step.action == "retrain":
        tell(RETRAIN_ASKED, workspace, {"why": "; ".join(reason.text for reason in step.reasons)})
    return Told(
        number=number,
        enrolled=enrolled,
        facts=facts,
        step=step,
        canary=canary,
        uplift=gain.model_dump() if gain else None,
        preference=preference,
        scorecard=scorecard,
    )
