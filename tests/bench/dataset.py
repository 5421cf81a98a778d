"""A source as shards, made once and kept under build/bench/."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.collect.snapshot import collect
from pipeline.collect.sources import fingerprint
from pipeline.files import replacing_folder, sha256_json
from pipeline.params_file import override_params
from pipeline.preprocess import preprocess
from pipeline.settings import Params
from pipeline.shards import ShardsReader, open_shards
from pipeline.validate.step import validate

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build/bench"


def params_of(pairs: Sequence[str]) -> Params:
    """The repository's params.yaml with `section.key=value` pairs in it; the file itself stays as it is."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(ROOT / "params.yaml", folder))
        return override_params(copy, pairs)


def shards_of(params: Params, subset: int = 0) -> ShardsReader:
    """subset: so many of the training images, if above 0; the holdout stays whole."""
    settings = params.collect
    key = sha256_json([settings.source, str(fingerprint(settings.source, ROOT)), params.preprocess.model_dump()])[:16]
    folder = BUILD / "data" / key
    if not (folder / "shards").exists():
        snapshot = collect(settings, ROOT, folder / "snapshot", folder / "pixels", folder / "ledgers")
        accepted = folder / "accepted.parquet"
        validate(
            params.validation, folder / "snapshot", accepted, folder / "quarantine", folder / "docs", folder / "v.json"
        )
        preprocess(params.preprocess, folder / "snapshot", accepted, folder / "pixels", folder / "shards", snapshot.id)
    return _thinned(folder, subset) if subset else open_shards(folder / "shards")


def _thinned(folder: Path, items: int) -> ShardsReader:
    whole, thin = open_shards(folder / "shards"), folder / f"shards-{items}"
    if not thin.exists():
        rows = np.sort(np.random.default_rng(0).permutation(whole.meta.train_items)[:items])
        with replacing_folder(thin) as made:
            shutil.copytree(folder / "shards", made, dirs_exist_ok=True)
            np.save(made / "train-images.npy", whole.train_images[rows])
            np.save(made / "train-labels.npy", whole.train_labels[rows])
            identity = sha256_json([whole.meta.id, items])[:16]
            meta = whole.meta.model_copy(update={"id": identity, "train_items": items})
            (made / "shards.json").write_text(meta.model_dump_json())
    return open_shards(thin)
