"""The guard against one's own images: what batches there are is noted before a source is collected."""

from __future__ import annotations

from pathlib import Path

from pipeline import stages
from pipeline.environment import Environment
from pipeline.generated import noted
from pipeline.progress import bar
from pipeline.settings import Params


def note_own_batches(workspace: Path, params: Params) -> None:
    """Raises ServiceError where the batches' S3 does not answer."""
    if params.collect.generated == "keep" or not _may_be_new(workspace):
        return
    from flows import wiring
    from pipeline.generate.known import note_batches, unnoted

    with wiring.environment_for_run(workspace, ("s3",)) as services:
        services.wait()
        folder = workspace / stages.GENERATED
        if new := unnoted(wiring.stores, folder):
            with bar("own batches", "items") as show:
                note_batches(wiring.stores, folder, new, lambda done: show(done, None, ""))


def _may_be_new(workspace: Path) -> bool:
    """Whether there may be a batch that is not noted; of the embedded S3 its own folder tells, without starting it."""
    environment = Environment()
    if environment.s3_endpoint:
        return True
    made = (workspace / "var/s3" / environment.bucket / "index").glob("*.json")
    return not {path.stem for path in made} <= set(noted(workspace / stages.GENERATED))
