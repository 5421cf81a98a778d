"""A source as shards, made once and kept under build/bench/."""

from __future__ import annotations

from pathlib import Path

from pipeline.collect.snapshot import collect
from pipeline.collect.sources import fingerprint
from pipeline.files import sha256_json
from pipeline.preprocess import preprocess
from pipeline.settings import Params
from pipeline.shards import ShardsReader, open_shards
from pipeline.validate.step import validate

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build/bench"


def shards_of(params: Params) -> ShardsReader:
    settings = params.collect
    key = sha256_json([settings.source, str(fingerprint(settings.source, ROOT)), params.preprocess.model_dump()])[:16]
    folder = BUILD / "data" / key
    if not (folder / "shards").exists():
        snapshot = collect(settings, ROOT, folder / "snapshot", folder / "pixels")
        accepted = folder / "accepted.parquet"
        validate(
            params.validation, folder / "snapshot", accepted, folder / "quarantine", folder / "docs", folder / "v.json"
        )
        preprocess(params.preprocess, folder / "snapshot", accepted, folder / "pixels", folder / "shards", snapshot.id)
    return open_shards(folder / "shards")
