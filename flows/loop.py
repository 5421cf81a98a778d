"""The loop as one Prefect flow; its body reads like the sentence in the README."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.runtime import flow_run

from flows import wiring
from flows.approval import agreed, promoted
from flows.artifacts import show_in_prefect
from flows.batches import deliver_shares
from flows.beside import TRAINING, commit_of, keep_screen
from flows.lessons import lessons_of
from flows.run_report import Passed, gathered, steps_of, write_page
from flows.staleness import bring_up_to_date, collect_if_changed, keep_lessons, note_lessons
from flows.summary import SnapshotSummary, Summary, summarise_batch, summarise_model
from flows.timing import Steps, forget_work, on_cores, own
from pipeline import stages
from pipeline.adapters.versions import Versions
from pipeline.dataset.record import record
from pipeline.environment import Environment
from pipeline.errors import ServiceError, WithdrawnError
from pipeline.files import sha256_file, sha256_json, write_json, write_text
from pipeline.generate.release import cost_of
from pipeline.ids import ids, note
from pipeline.log import log
from pipeline.progress import bar, busy
from pipeline.promote import decide
from pipeline.report.run import Judged
from pipeline.settings import Params
from pipeline.values import Batch, Decision, ModelVersion, Scorecard, Shards, Validation

PUSHED = Path("runs/pushed.json")
REPORTS, RESCORED = Path("runs/reports"), Path("runs/rescored")


def _passing(task_: Any, run: Any, state: Any) -> bool:
    """Retry only what can pass by itself: a service that did not answer."""
    try:
        state.result()
    except ServiceError:
        return True
    except Exception:
        return False
    return False


@task(task_run_name="collect {params.collect.title}")
def collect(workspace: Path, params: Params) -> bool:
    return collect_if_changed(workspace, params)


@task(task_run_name="lessons")
def listened(workspace: Path, params: Params) -> None:
    keep_lessons(workspace, params, lessons_of(workspace, params))


@task(task_run_name="{stage}")
def reproduce(workspace: Path, stage: str) -> bool:
    if stage in Environment().gpu_stages.split():
        from flows.elsewhere import brought_up_to_date

        return brought_up_to_date(workspace, stage)
    return bring_up_to_date(workspace, stage)


@task(task_run_name="register {card.model}", retries=2, retry_delay_seconds=2, retry_condition_fn=_passing)
def register(workspace: Path, params: Params, card: Scorecard, snapshot: str) -> ModelVersion:
    tags = {
        "snapshot": snapshot,
        "commit": commit_of(workspace),
        "params": sha256_file(workspace / "params.yaml"),
        "dvc_lock": sha256_file(workspace / "dvc.lock"),
    }
    seconds = {name: json.loads(path.read_text()).get("work_s", 0.0) for name, path in _receipts(workspace)}
    with tempfile.TemporaryDirectory() as temporary:
        write_json(Path(temporary) / "seconds.json", seconds)
        beside = {
            "pictures": workspace / stages.PICTURES,
            "curves.csv": workspace / stages.CURVES,
            "params.yaml": workspace / "params.yaml",
            "validation.json": workspace / stages.VALIDATION,
            "seconds.json": Path(temporary) / "seconds.json",
        }
        if (workspace / stages.NETWORKS).exists():
            beside[TRAINING] = workspace / stages.NETWORKS
        registry = wiring.registry(workspace)
        with busy("register"):
            model = registry.register(params.promote.name, workspace / stages.BUNDLE, card, tags, beside)
    keep_screen(workspace, params, registry, model)
    return model


def _receipts(workspace: Path) -> list[tuple[str, Path]]:
    paths = ((name, workspace / stages.RECEIPTS / f"{name}.json") for name in stages.STAGES)
    return [(name, path) for name, path in paths if path.exists()]


@task(task_run_name="champion's scorecard")
def rescore_champion(workspace: Path, params: Params, card: Scorecard) -> tuple[ModelVersion | None, Scorecard | None]:
    """The champion and its scorecard in the challenger's space and holdout, re-scored where they differ."""
    registry = wiring.registry(workspace)
    champion = registry.champion(params.promote.name)
    if champion is None:
        return None, None
    if champion.bundle == card.model:
        return champion, card
    kept = registry.scorecard(champion)
    if kept.comparable(card):
        return champion, kept
    from pipeline.evaluate.rescore import rescore

    with bar("champion", "") as show:
        return champion, rescore(
            params.evaluate,
            workspace / stages.SHARDS,
            champion.bundle,
            lambda folder: registry.download_bundle(champion, folder),
            workspace / stages.EVALUATORS,
            workspace / RESCORED,
            lambda stage, done, total: show(done, total, stage),
        )


@task(task_run_name="promote {model.name} v{model.version}")
def promote(
    workspace: Path,
    params: Params,
    model: ModelVersion,
    card: Scorecard,
    champion: ModelVersion | None,
    best: Scorecard | None,
) -> tuple[ModelVersion, Decision]:
    if champion and champion.bundle == model.bundle:
        return champion, Decision(promoted=False, gates=(), reason="is the champion")
    decision, registry = decide(params.promote, card, best), wiring.registry(workspace)
    if params.promote.approval == "human":
        decision = agreed(registry, model, decision)
    registry.attach(model, decision.model_dump_json(indent=1), "decision.json")
    return (promoted(registry, model) if decision.promoted else model), decision


@task(
    task_run_name="report on {model.name} v{model.version}",
    retries=2,
    retry_delay_seconds=2,
    retry_condition_fn=_passing,
)
def make_report(
    workspace: Path, model: ModelVersion, card: Scorecard, before: ModelVersion | None, best: Scorecard | None, why: str
) -> Path:
    """The model's page, put beside its run too; a champion's stays as it was when it was promoted."""
    path = workspace / REPORTS / f"{card.model}-{sha256_json(card.model_dump())[:8]}" / "report.html"
    stands = before is not None and before.bundle == model.bundle
    if stands and path.exists():
        return path
    from pipeline.evaluate.report import report

    page = report(
        f"{model.name} v{model.version} on data {card.shards[:8]}",
        card,
        None if stands else best,
        model.alias == "champion",
        why,
        (workspace / stages.CURVES).read_text(),
        {
            file.stem: file.read_bytes()
            for file in [*sorted((workspace / stages.PICTURES).glob("*.png")), workspace / stages.PROGRESS]
        },
    )
    if not path.exists() or path.read_text() != page:
        wiring.registry(workspace).attach(model, page, path.name)
        write_text(path, page)
    return path


@task(
    task_run_name="deliver {name} by {model.name} v{model.version}",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=_passing,
)
def deliver(workspace: Path, params: Params, name: str, model: ModelVersion) -> list[Batch]:
    """Nothing where that very batch was withdrawn before: it does not come back."""
    try:
        return deliver_shares(workspace, params, name, params.batches[name], model)
    except WithdrawnError:
        return []


@task(task_run_name="push", retries=2, retry_delay_seconds=2, retry_condition_fn=_passing)
def push(workspace: Path) -> bool:
    """Send this run's versions to DVC's remote, unless that was done; whether anything was sent."""
    environment, receipt = Environment(), workspace / PUSHED
    state = {
        "dvc_lock": sha256_file(workspace / "dvc.lock"),
        "to": f"{environment.s3_endpoint} {environment.bucket}",
    }
    if receipt.exists() and json.loads(receipt.read_text()) == state:
        return False
    sent = Versions(workspace).push()
    write_json(receipt, state)
    return sent > 0


@task(task_run_name="page of the run", retries=2, retry_delay_seconds=2, retry_condition_fn=_passing)
def tell_of_run(workspace: Path, params: Params, passed: Passed, news: bool) -> Path:
    """news: whether anything was made; what finds all done takes no other run's place in MLflow."""
    told = gathered(workspace, params, passed)
    return write_page(workspace, told, attach=news or any(batch.fresh for batch in told.batches))


@flow(name="loop", flow_run_name="loop on {params.collect.title}", validate_parameters=False)
def loop(workspace: Path, params: Params, listen: bool = False, start_s: float = 0.0) -> Summary:
    """Collect, validate, preprocess, train, evaluate, register, promote, generate and publish. listen: the training is
    to hear all feedback so far; else it hears what the last one that listened did. start_s: that starting took."""
    began, steps = datetime.now(UTC), Steps()
    fresh: dict[str, bool] = {}
    with steps.step("collect"):
        fresh["collect"] = collect(workspace, params)
    for stage in [name for name in stages.STAGES if name not in stages.FROZEN]:
        with steps.step(stage):
            if stage == "train" and listen:
                listened(workspace, params)
            elif stage == "train":
                note_lessons(workspace, params)
            fresh[stage] = reproduce(workspace, stage)
            if stage == "validate":
                version = record(workspace, params, "a run")
                note(snapshot=version.id)
    validation = Validation.model_validate_json((workspace / stages.VALIDATION).read_text())
    card = Scorecard.model_validate_json((workspace / stages.SCORECARD).read_text())
    shards = Shards.model_validate_json((workspace / stages.SHARDS / "shards.json").read_text())
    with steps.step("register"):
        model = register(workspace, params, card, shards.snapshot)
        note(model=f"{model.name} v{model.version}")
    with steps.step("rescore"):
        before, best = rescore_champion(workspace, params, card)
    with steps.step("promote"):
        model, decision = promote(workspace, params, model, card, before, best)
        log("promotion decided", promoted=decision.promoted, reason=decision.reason, nfd=card.metrics.get("nfd"))
    with steps.step("report"):
        page = make_report(workspace, model, card, before, best, decision.reason)
    forget_work(workspace, "generate")
    with steps.step("generate"):
        champion = model if model.alias == "champion" else before
        wanted = [name for name, asked in params.batches.items() if asked.every == "run"] if champion else []
        delivered = [batch for name in wanted if champion for batch in deliver(workspace, params, name, champion)]
    if Environment().dvc_push:
        with steps.step("push"):
            push(workspace)
    cost = cost_of(on_cores(workspace, steps.core_seconds, fresh), params.costs)
    run, loops_own = ids().get("run") or str(flow_run.id), own(workspace, steps.seconds, fresh)
    judged = Judged(model, card, decision, before, best)
    passed = Passed(run, began, steps_of(steps, loops_own, fresh, start_s), cost, version, judged, delivered)
    news = any(fresh.values()) or decision.promoted
    summary = Summary(
        run=run,
        snapshot=SnapshotSummary(id=shards.snapshot, items=validation.items, rejected=validation.rejected),
        model=summarise_model(model, card, decision, before, best),
        batches=tuple(map(summarise_batch, delivered)),
        seconds=steps.seconds,
        own=loops_own,
        up_to_date=[name for name, ran in fresh.items() if not ran],
        picture=str(workspace / stages.PICTURES / "samples.png"),
        report=str(page),
        page=str(tell_of_run(workspace, params, passed, news)),
        cost=cost,
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    show_in_prefect(params, summary)
    return summary
