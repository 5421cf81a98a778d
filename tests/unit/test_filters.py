"""Which candidates may be delivered: held against the training images, the policies and each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from pipeline.errors import GenloopError, ParamsError
from pipeline.generate import filters
from pipeline.generate.filters import judge
from pipeline.generate.policies import Items, blocklist, fingerprints, policies
from pipeline.generate.screen import Screen, load_screen, make_screen, screen_id
from pipeline.media.image import encode_png
from pipeline.orders import BatchOrder, Filters
from pipeline.settings import Evaluate
from tests.unit.small_shards import shards_of

CLASSES = tuple("0123456789")


def digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """uint8 [1797, 1, 16, 16] and their classes."""
    found = load_digits()
    images = np.rint(found.images * (255 / 16)).astype(np.uint8)[:, None]
    return images.repeat(2, 2).repeat(2, 3), found.target.astype(np.int64)


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A screen of the first 1,200 digits; 300 more were held out."""
    folder = tmp_path_factory.mktemp("screen")
    images, labels = digits()
    shards = shards_of(folder / "shards", images[:1200], labels[:1200], images[1200:1500], labels[1200:1500], CLASSES)
    make_screen(Evaluate(classifier_steps=200), shards, folder / "kept", folder / "screen", lambda *_: None)
    return folder / "screen"


@pytest.fixture(scope="module")
def screen(screened: Path) -> Screen:
    return load_screen(screened)


def reasons(
    chosen: Filters,
    screen: Screen | None,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    asked: Sequence[object] = (),
) -> list[str]:
    seeds = np.arange(len(labels))
    found = judge(chosen, False, screen, asked, images, labels, seeds, CLASSES)  # type: ignore[arg-type]
    return [str(reason) for reason in found.reasons]


def test_copies_of_training_images_are_dropped_and_new_ones_are_not(screen: Screen) -> None:
    images, labels = digits()
    assert set(reasons(Filters(odd=1, confidence=0, alike=False), screen, images[:50], labels[:50])) == {filters.COPY}
    assert set(reasons(Filters(copies=0, odd=1, confidence=0), screen, images[:50], labels[:50])) == {
        filters.LOOKS_TRAINED
    }
    fresh = reasons(Filters(odd=1, confidence=0), screen, images[1500:], labels[1500:])
    assert sum(map(bool, fresh)) <= 0.02 * len(fresh)


def test_what_is_too_near_is_found_as_by_comparing_with_all(screen: Screen) -> None:
    images, labels = digits()
    for quantile in (0.001, 0.2, 0.8):
        judged = screen.judge(images[1500:], labels[1500:], quantile)
        apart = np.linalg.norm(judged.features[:, None] - screen.training, axis=2).min(1)
        assert np.array_equal(judged.too_near, apart < np.quantile(screen.held_out, quantile))
    assert 0.5 < judged.too_near.mean() < 1


def test_what_is_no_digit_or_another_one_is_dropped(screen: Screen) -> None:
    images, labels = digits()
    noise = np.random.default_rng(0).integers(0, 256, (50, 1, 16, 16), dtype=np.uint8)
    odd = reasons(Filters(copies=0, confidence=0), screen, noise, labels[:50])
    assert odd.count(filters.ODD) >= 45
    wrong = reasons(Filters(copies=0, odd=1), screen, images[1500:1600], (labels[1500:1600] + 1) % 10)
    assert wrong.count(filters.UNSURE) >= 97
    right = reasons(Filters(copies=0, odd=1), screen, images[1500:1600], labels[1500:1600])
    assert right.count(filters.UNSURE) <= 15


def test_of_images_that_look_the_same_the_first_stays() -> None:
    images, labels = digits()
    twice = np.concatenate([images[:20], np.clip(images[:20].astype(int) + 1, 0, 255).astype(np.uint8)])
    found = reasons(Filters(), None, twice, np.concatenate([labels[:20]] * 2))
    assert found == [""] * 20 + [filters.REPEAT] * 20
    assert set(reasons(Filters(alike=False), None, twice, np.concatenate([labels[:20]] * 2))) == {""}


def test_a_screen_that_was_altered_is_refused_and_has_another_id(screened: Path, tmp_path: Path) -> None:
    before = screen_id(screened)
    for path in screened.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = bytearray((tmp_path / "training.safetensors").read_bytes())
    data[-5] ^= 1
    (tmp_path / "training.safetensors").write_bytes(data)
    assert screen_id(tmp_path) != before
    with pytest.raises(GenloopError, match="damaged"):
        load_screen(tmp_path)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("our_rules", None)


def rules(workspace: Path, body: str) -> list[object]:
    (workspace / "our_rules.py").write_text(body)
    return list(policies(BatchOrder(filters=Filters(policies=("our_rules:rule",))), workspace))


def test_a_policy_refuses_with_its_reason(workspace: Path) -> None:
    asked = rules(workspace, "def rule(items):\n    return ['no sevens' if l == '7' else None for l in items.labels]\n")
    images, labels = digits()
    found = reasons(Filters(alike=False), None, images[:100], labels[:100], asked)
    assert [bool(reason) for reason in found] == (labels[:100] == 7).tolist()
    assert set(filter(None, found)) == {"our_rules:rule: no sevens"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("def rule(items):\n    return []\n", "did not say a text or None of each of 3 items"),
        ("def rule(items):\n    return [1] * len(items)\n", "did not say a text or None"),
        ("def rule(items):\n    raise KeyError('x')\n", "the policy failed: KeyError"),
    ],
)
def test_a_policy_that_fails_stops_the_batch(workspace: Path, body: str, told: str) -> None:
    (policy,) = rules(workspace, body)
    with pytest.raises(GenloopError, match=told):
        policy(Items(np.zeros((3, 1, 16, 16), np.uint8), ("a",) * 3, np.arange(3)))  # type: ignore[operator]


def test_a_policy_that_is_not_there(workspace: Path) -> None:
    with pytest.raises(ParamsError, match="no such module"):
        policies(BatchOrder(filters=Filters(policies=("nowhere:rule",))), workspace)
    with pytest.raises(ParamsError, match="no function"):
        rules(workspace, "rule = 1\n")


def test_the_blocklist_knows_its_images_in_other_forms(workspace: Path) -> None:
    images, labels = digits()
    (workspace / "blocked").mkdir()
    (workspace / "blocked/logo.png").write_bytes(encode_png(images[0].repeat(4, 1).repeat(4, 2)))
    found = blocklist(workspace / "blocked")(Items(images[:30], ("0",) * 30, labels[:30]))
    assert found == ["on the blocklist: logo.png"] + [None] * 29
    asked = BatchOrder(filters=Filters(blocklist="blocked"))
    before = fingerprints(asked, workspace)
    (workspace / "blocked/other.png").write_bytes(encode_png(images[1]))
    assert fingerprints(asked, workspace) != before
    with pytest.raises(ParamsError, match="no such folder"):
        policies(BatchOrder(filters=Filters(blocklist="nowhere")), workspace)
