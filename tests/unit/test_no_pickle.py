"""A pickle that would run what it likes, planted wherever a file from elsewhere is read: it is refused, and not run."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.evaluate.features import load_classifier
from pipeline.evaluate.kept import load_arrays
from pipeline.model.bundle import load_bundle
from pipeline.preference.model import load_preference
from pipeline.shards import open_shards
from pipeline.training.state import newest_checkpoint

ROOT = Path(__file__).parents[2]
ARRAYS = ("train-images.npy", "train-labels.npy", "holdout-images.npy", "holdout-labels.npy")


class Planted:
    """Unpickled, it leaves a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


def plant(folder: Path, names: tuple[str, ...], trace: Path) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(pickle.dumps(Planted(trace)))


@pytest.mark.parametrize(
    ("names", "load"),
    [
        (("weights.safetensors", "config.json"), load_bundle),
        (("it",), lambda folder: load_arrays(folder / "it")),
        (("it",), lambda folder: load_classifier(folder / "it")),
        (("about.json", "arrays.safetensors", "preference.json"), load_preference),
        (ARRAYS, open_shards),
    ],
)
def test_it_is_refused(tmp_path: Path, names: tuple[str, ...], load: Callable[[Path], object]) -> None:
    trace = tmp_path / "ran"
    plant(tmp_path / "files", names, trace)
    with pytest.raises(Exception, match=r"."):
        load(tmp_path / "files")
    assert not trace.exists()
    pickle.loads((tmp_path / "files" / names[0]).read_bytes())
    assert trace.exists()  # it would have


def test_an_array_of_objects_is_none(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    for name in ARRAYS:
        np.save(tmp_path / name, np.array([Planted(trace)], object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        open_shards(tmp_path)
    assert not trace.exists()


def test_a_checkpoint_that_is_one_is_passed_over(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    plant(tmp_path, ("0-000000000100.safetensors", "0-000000000100.json"), trace)
    assert newest_checkpoint(tmp_path) is None
    assert not trace.exists()


def test_nothing_of_ours_reads_pickles() -> None:
    """No import of what does, no torch.load, no allow_pickle."""
    for path in [*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"} & set(names), path
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) != "torch.load", path
                for keyword in node.keywords:
                    allows = keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False"
                    assert not allows, path
