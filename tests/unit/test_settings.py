"""params.yaml: one line for each mistake, with the key, the value and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ParamsError
from pipeline.model.networks import base_size
from pipeline.params_file import load_params, override_params
from pipeline.settings import SIZES

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("preprocess.size=-3", "preprocess.size = -3: should be auto or one of 16, 20, 24"),
        ("preprocess.size=30", "preprocess.size = 30: should be auto or one of"),
        ("preprocess.size=large", "preprocess.size = 'large': Input should be 'auto' or "),
        ("preprocess.sise=32", "unknown key 'preprocess.sise'"),
        ("preproces.size=32", "unknown key 'preproces.size'"),
        ("train.minutes=.nan", "train.minutes = nan"),
        ("train.batch=0", "train.batch = 0"),
        ("train.batch=", "train.batch = None"),
        ("promote.gates={nfd: {at_mots: 3}}", "unknown key 'promote.gates.nfd.at_mots'"),
        ("batches.samples.mix={a: -1}", "batches.samples.mix.a = -1"),
        ("collect.source=", "collect.source = None"),
        ("collect.max_item_bytes=-1", "collect.max_item_bytes = -1"),
        ("train.loss=[", "-S 'train.loss=[' is not YAML"),
        ("seed=3", "unknown key 'seed'"),
        ("train=5", "train = 5: "),
        ("train.minutes=.inf", "train.minutes = inf"),
        ("train", "is not section.key=value"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(tmp_path: Path, pair: str, words: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text())
    with pytest.raises(ParamsError) as caught:
        override_params(path, ["train.seed=7", pair])
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    assert path.read_text() == PARAMS.read_text()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  size:", "  sise:", "unknown key 'preprocess.sise'"),
        ("  source: sample://digits", "", "collect: source should be a URI, or sources a list of them"),
        ("  z_dim: 64", "  z_dim: -3", "train.z_dim = -3: Input should be greater than 0"),
        ("batches:", "batches: [", "not YAML"),
    ],
)
def test_a_file_with_a_mistake(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "params.yaml"
    assert old in PARAMS.read_text()
    path.write_text(PARAMS.read_text().replace(old, new))
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    assert words in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_sizes_are_those_that_the_networks_make() -> None:
    for size in range(1, 257):
        if size in SIZES:
            base_size(size)
        else:
            with pytest.raises(ValueError):
                base_size(size)
