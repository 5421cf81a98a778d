"""Lessons in a workspace's DVC: none where there are not any, committed once, and what an old dvc.yaml says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flows.beside import TRAINING, start_of
from flows.staleness import keep_lessons, note_lessons
from flows.workspaces import make_workspace
from pipeline import stages
from pipeline.adapters.registry import Registry
from pipeline.adapters.versions import Versions
from pipeline.errors import GenloopError
from pipeline.lessons import Lessons, read_lessons, write_lessons
from pipeline.model.bundle import save_bundle
from pipeline.model.networks import Generator, Shape
from pipeline.params_file import load_params, override_params
from pipeline.settings import Params
from pipeline.start import Start, write_start
from pipeline.values import Scorecard

SOME = Lessons(classes=("a",), rejected=np.zeros((2, 1, 16, 16), np.uint8), labels=np.zeros(2, np.int64), position="17")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    make_workspace(tmp_path)
    before = Path.cwd()
    os.chdir(tmp_path)  # DVC reads paths from where it stands
    yield tmp_path
    os.chdir(before)


def _stored(workspace: Path) -> str:
    return str(Versions(workspace).stored("lessons", str(stages.LESSONS))["md5"])


def _params(workspace: Path) -> Params:
    return load_params(workspace / "params.yaml")


def test_none_are_committed_once_and_then_nothing_is_done(workspace: Path) -> None:
    note_lessons(workspace, _params(workspace))
    assert read_lessons(workspace / stages.LESSONS).empty
    none = _stored(workspace)
    assert not [name for name in Versions(workspace).changed() if "lessons" in name]
    lock, config = (workspace / "dvc.lock").stat(), (workspace / ".dvc/config").read_text()
    (workspace / ".dvc/config").write_text("[")  # so that DVC can't even be opened
    note_lessons(workspace, _params(workspace))
    assert (workspace / "dvc.lock").stat() == lock
    (workspace / ".dvc/config").write_text(config)
    keep_lessons(workspace, _params(workspace), SOME)
    assert _stored(workspace) != none and read_lessons(workspace / stages.LESSONS).position == "17"
    keep_lessons(workspace, _params(workspace), Lessons())
    assert _stored(workspace) == none


def test_what_was_written_and_not_committed_is_committed_by_the_next_run(workspace: Path) -> None:
    note_lessons(workspace, _params(workspace))
    none = _stored(workspace)
    write_lessons(workspace / stages.LESSONS, SOME)  # and then it was killed
    note_lessons(workspace, _params(workspace))
    assert _stored(workspace) != none and len(read_lessons(workspace / stages.LESSONS).rejected) == 2


def test_an_old_workspace_runs_on_and_is_told_how_to_listen(workspace: Path) -> None:
    text = (workspace / "dvc.yaml").read_text()
    begin, end = text.index("  lessons:\n"), text.index("  train:\n")
    old = (text[:begin] + text[end:]).replace("      - data/lessons\n", "").replace("data/networks, ", "")
    (workspace / "dvc.yaml").write_text(old)
    note_lessons(workspace, _params(workspace))
    assert not (workspace / stages.LESSONS).exists()
    asked = override_params(workspace / "params.yaml", ["train.feedback.steer=1"])
    with pytest.raises(GenloopError, match=r"no stage `lessons`.*genloop init"):
        note_lessons(workspace, asked)
    (workspace / "dvc.yaml").rename(workspace / "aside.yaml")
    make_workspace(workspace)
    note_lessons(workspace, asked)
    assert read_lessons(workspace / stages.LESSONS).empty and _stored(workspace)


@pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")  # MLflow's, of the registered model's parameter
def test_the_networks_lie_beside_the_models_run(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")
    generator = Generator(Shape(16, 1, 1, 8, 4))
    (tmp_path / "bundle").mkdir()
    bundle = save_bundle(tmp_path / "bundle", generator, ("a",))
    weights = {name: tensor.numpy() for name, tensor in generator.state_dict().items()}
    write_start(tmp_path / "networks", Start(weights, {"score": np.ones(2, np.float32)}, ("a",), 0.25, 640))
    card = Scorecard(model=bundle, shards="x", space="s", samples=2, metrics={"nfd": 1.0}, floor={})
    tags = {"snapshot": "s"}
    model = registry.register("g", tmp_path / "bundle", card, tags, {TRAINING: tmp_path / "networks"})
    found = start_of(registry, model)
    assert found and found.augment == 0.25
    assert all((found.generator[name] == array).all() for name, array in weights.items())
    other = registry.register("h", tmp_path / "bundle", card.model_copy(update={"model": "b"}), tags, {})
    assert start_of(registry, other) is None
