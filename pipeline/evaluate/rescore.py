"""A scorecard anew, for a model whose own stands in another space or on another holdout."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from pipeline.evaluate.space import Progress
from pipeline.evaluate.step import score
from pipeline.files import sha256_json, write_json
from pipeline.model.bundle import BundleError, load_bundle
from pipeline.settings import Evaluate
from pipeline.shards import open_shards
from pipeline.values import Scorecard


def rescore(
    settings: Evaluate,
    shards_folder: Path,
    bundle_id: str,
    download: Callable[[Path], Path],
    evaluators: Path,
    kept: Path,
    progress: Progress,
) -> Scorecard | None:
    """Scored on the holdout of these shards, once; `download` puts the bundle below a folder and says where.

    None where the model can't make such images at all: another size or other classes, an older format.
    """
    shards = open_shards(shards_folder)
    path = kept / f"{sha256_json([bundle_id, shards.meta.model_dump(), settings.model_dump()])[:16]}.json"
    if path.exists():
        return Scorecard.model_validate_json(path.read_text())
    with tempfile.TemporaryDirectory() as folder:
        try:
            bundle = load_bundle(download(Path(folder)))
        except BundleError:
            return None
    shape, meta = bundle.generator.shape, shards.meta
    if (shape.size, shape.channels, bundle.classes) != (meta.size, meta.channels, meta.classes):
        return None
    card = score(settings, shards, bundle.sample, bundle.id, evaluators, progress).scorecard
    write_json(path, card.model_dump())
    return card
