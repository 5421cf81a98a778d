"""What a run's page is made of, gathered where it lies: the workspace, the registry and the batches' S3."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flows import wiring
from flows.beside import commit_of
from flows.timing import Steps
from pipeline import stages
from pipeline.dataset.history import Version
from pipeline.errors import GenloopError
from pipeline.files import sha256_file, write_text
from pipeline.generate.release import Cost
from pipeline.settings import Params
from pipeline.values import Batch, Validation

if TYPE_CHECKING:
    from pipeline.report.run import Check, Delivered, Judged, Run, Step

REPORTS, NAME = Path("runs/reports"), "run.html"
SHOWN_SIDE = 960  # pixels, of a batch's preview on the page


class Passed(NamedTuple):
    """What a run knows of itself at its end. batches: those that were delivered, also by an earlier one."""

    run: str
    began: datetime
    steps: Sequence[Step]
    cost: Cost
    version: Version
    judged: Judged
    batches: Sequence[Batch]


def page_of(workspace: Path, run: str) -> Path:
    return workspace / REPORTS / f"run-{run}" / NAME


def last_page(workspace: Path) -> Path:
    """Raises GenloopError where there is none."""
    found = sorted((workspace / REPORTS).glob(f"run-*/{NAME}"))
    if not found:
        raise GenloopError("no run has left a page yet", where=str(workspace), remedy="`genloop run` makes the first")
    return found[-1]


def write_page(workspace: Path, run: Run, attach: bool) -> Path:
    """attach: beside the model's run in MLflow too, in place of the last run's."""
    from pipeline.report.run import run_page

    page, path = run_page(run), page_of(workspace, run.id)
    if attach:
        wiring.registry(workspace).attach(run.judged.model, page, NAME)
    write_text(path, page)
    return path


def gathered(workspace: Path, params: Params, passed: Passed) -> Run:
    from pipeline.report.run import Run

    pictures = [*sorted((workspace / stages.PICTURES).glob("*.png")), workspace / stages.PROGRESS]
    return Run(
        id=passed.run,
        source=params.collect.title,
        at=passed.began.isoformat(timespec="seconds"),
        steps=passed.steps,
        cost=passed.cost,
        version=passed.version,
        validation=Validation.model_validate_json((workspace / stages.VALIDATION).read_text()),
        checks=_checks(workspace),
        judged=passed.judged.against_others(),
        curves=(workspace / stages.CURVES).read_text(),
        pictures={file.stem: file.read_bytes() for file in pictures},
        batches=[_delivered(workspace, batch, passed.began) for batch in passed.batches],
        ids=_ids(workspace, passed),
        params=(workspace / "params.yaml").read_text(),
    )


def steps_of(steps: Steps, own: Mapping[str, float], fresh: Mapping[str, bool], start_s: float) -> list[Step]:
    """In their order, the start of services and imports first."""
    from pipeline.report.run import Step

    told = [Step("start", start_s, start_s, 0.0, True)] if start_s else []
    return told + [
        Step(name, seconds, own.get(name, 0.0), steps.core_seconds.get(name, 0.0), fresh.get(name, True))
        for name, seconds in steps.seconds.items()
    ]


def _checks(workspace: Path) -> list[Check]:
    """Nothing where an earlier version of genloop validated the dataset."""
    from pipeline.report.run import Check

    path = workspace / stages.DOCS / "checks.json"
    return [Check(**told) for told in json.loads(path.read_text())] if path.exists() else []


def _delivered(workspace: Path, batch: Batch, began: datetime) -> Delivered:
    from pipeline.generate.batches import read_manifest, read_object
    from pipeline.generate.verify import read_release
    from pipeline.media.image import thumbnail
    from pipeline.report.run import Delivered

    store = wiring.stores(batch.bucket)
    told, manifest = read_release(store, batch, wiring.trusted_certificates(workspace)), read_manifest(store, batch)
    shown = [name for name in told.objects if name.startswith("gallery/preview-")]
    preview = thumbnail(read_object(store, batch, shown[0]), SHOWN_SIDE) if shown else b""
    fresh = datetime.fromisoformat(told.made_at) >= began.replace(microsecond=0)
    return Delivered(told, preview, list(manifest["dropped"].items()), fresh)


def _ids(workspace: Path, passed: Passed) -> dict[str, str]:
    model = passed.judged.model
    return {
        "run": passed.run,
        "dataset version": str(passed.version.number),
        "snapshot": passed.version.id,
        "shards": passed.judged.card.shards,
        "model": f"{model.name} v{model.version}, {model.uri}",
        "weights": model.bundle,
        "batches": ", ".join(batch.id for batch in passed.batches) or "none",
        "commit of the workspace": commit_of(workspace),
        "params.yaml, SHA-256": sha256_file(workspace / "params.yaml"),
        "dvc.lock, SHA-256": sha256_file(workspace / "dvc.lock"),
        "workspace": str(workspace),
    }
