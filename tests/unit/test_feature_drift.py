"""Drift that neither labels nor brightness nor sizes show is seen in the classifier's features."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pipeline import stages
from pipeline.collect.snapshot import collect
from pipeline.dataset.feature_drift import feature_drift
from pipeline.evaluate.space import kept_classifier
from pipeline.media.image import encode_png
from pipeline.params_file import load_params
from pipeline.settings import Collect
from pipeline.shards import open_shards
from tests.unit.test_collect import folder

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
DIGITS, LABELS = load_digits(return_X_y=True)


def tree(rows: slice, turned: bool = False) -> dict[str, bytes]:
    found = {}
    for row in range(rows.start, rows.stop):
        pixels = np.rint(DIGITS[row].reshape(8, 8) * (255 / 16)).astype(np.uint8)
        found[f"{LABELS[row]}/{row}.png"] = encode_png((pixels[::-1] if turned else pixels)[None])
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    """With shards and the classifier of the first 900 digits."""
    before = Path.cwd()
    os.chdir(tmp_path)
    parts(tmp_path, "data/snapshot", tree(slice(0, 900)))
    stages.validate(PARAMS)
    stages.preprocess(PARAMS)
    kept_classifier(PARAMS.evaluate, open_shards(stages.SHARDS), stages.EVALUATORS, lambda stage, done, total: None)
    yield tmp_path
    os.chdir(before)


def parts(root: Path, name: str, images: dict[str, bytes]) -> dict[str, Path]:
    source = folder(root / "sources" / name, images)
    collect(Collect(source=str(source)), root, root / name, root / "runs/pixels", root / "ledgers" / name)
    return {path.name: path for path in (root / name / "parts").iterdir()}


def test_digits_upside_down(workspace: Path) -> None:
    one = parts(workspace, "one", tree(slice(0, 800)))
    more = parts(workspace, "more", tree(slice(0, 900)))
    turned = parts(workspace, "turned", tree(slice(0, 800)) | tree(slice(800, 900), turned=True))
    found = [feature_drift(workspace, PARAMS, one, other) for other in (one, more, turned)]
    assert found[0] == 0 and None not in found
    assert 0 < found[1] < 0.2 < found[2], found  # type: ignore[operator]


def test_without_a_classifier_it_is_not_measured(tmp_path: Path) -> None:
    files = parts(tmp_path, "one", tree(slice(0, 40)))
    assert feature_drift(tmp_path, PARAMS, files, files) is None
