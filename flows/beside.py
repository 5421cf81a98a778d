"""What lies beside a model's run in the registry: what its candidates are held against, and where it comes from."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import stages
from pipeline.errors import GenloopError
from pipeline.orders import BatchOrder
from pipeline.progress import bar
from pipeline.settings import Params
from pipeline.start import Start, read_start
from pipeline.values import ModelVersion

if TYPE_CHECKING:
    from pipeline.adapters.registry import Registry
    from pipeline.generate.release import Provenance

SCREEN, TRAINING = "screen", "training"
SAID = ("approval", "canary", "before")  # of a version, later than it was made
TEXTS = ("params.yaml", "validation.json", "decision.json", "seconds.json")


def keep_screen(workspace: Path, params: Params, registry: Registry, model: ModelVersion) -> None:
    """Have what this model's candidates are held against lie beside its run."""
    if SCREEN in registry.files(model):
        return
    with tempfile.TemporaryDirectory() as temporary:
        _make_screen(workspace, params, Path(temporary) / SCREEN)
        registry.attach_folder(model, Path(temporary) / SCREEN, SCREEN)


def screen_of(registry: Registry, asked: BatchOrder, model: ModelVersion, folder: Path) -> Path | None:
    """What candidates are held against: as it lies beside the model's run. None where no filter asks for it."""
    if not _needs_screen(asked):
        return None
    found = registry.download(model, SCREEN, folder)
    if found is None:
        raise GenloopError(
            "there is nothing to hold candidates against: it went with what was forgotten",
            where=f"{model.name} v{model.version}",
            remedy="`genloop run` trains a model anew; or switch the filters off",
        )
    return found


def start_of(registry: Registry, model: ModelVersion) -> Start | None:
    """The networks that a training from this model begins with; None where an earlier version made it, without."""
    with tempfile.TemporaryDirectory() as temporary:
        found = registry.download(model, TRAINING, Path(temporary))
        return read_start(found) if found else None


def provenance(workspace: Path, registry: Registry, model: ModelVersion) -> Provenance:
    from pipeline.adapters.approvals import approval_of
    from pipeline.generate.release import Provenance

    told = {name: registry.text(model, name) or "" for name in TEXTS}
    return Provenance(
        scorecard=registry.scorecard(model),
        tags={
            key: value
            for key, value in registry.tags(model).items()
            if key not in SAID and not key.startswith("forgotten-")
        },
        validation=json.loads(told["validation.json"] or "{}"),
        decision=json.loads(told["decision.json"] or "{}"),
        seconds=json.loads(told["seconds.json"] or "{}"),
        params=told["params.yaml"],
        approval=approval_of(registry, model),
        commit=commit_of(workspace),
    )


def commit_of(workspace: Path) -> str:
    import subprocess

    found = subprocess.run(["git", "-C", str(workspace), "rev-parse", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or "none"


def _needs_screen(asked: BatchOrder) -> bool:
    filters = asked.filters
    return filters.copies > 0 or filters.odd < 1 or filters.confidence > 0 or filters.alike


def _make_screen(workspace: Path, params: Params, folder: Path) -> None:
    from pipeline.generate.screen import make_screen
    from pipeline.shards import open_shards

    with bar("screen", "") as show:
        make_screen(
            params.evaluate,
            open_shards(workspace / stages.SHARDS),
            workspace / stages.EVALUATORS,
            folder,
            lambda stage, done, total: show(done, total, stage),
        )
