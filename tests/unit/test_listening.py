"""Training that listens: off it is as before to the bit; on it makes less of what was rejected, or begins elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import pipeline.training.step as step
from pipeline.errors import GenloopError
from pipeline.lessons import Lessons, read_lessons, write_lessons
from pipeline.model.bundle import load_bundle
from pipeline.model.networks import Shape
from pipeline.settings import Listening, Train, Tuning
from pipeline.shards import ShardsReader
from pipeline.start import Start, read_start
from pipeline.training.history import Tick
from pipeline.training.listening import Rejected, begin, hear, start_of
from pipeline.training.ranks import Ranks
from pipeline.training.state import new_state
from pipeline.training.step import run_key, train
from pipeline.training.update import Rules, learning_rate
from pipeline.values import Shards
from tests.unit.small_shards import shards_of, small_shards

OFF = Train(images_seen=32 * 12, batch=32, width=4, precision="fp32", augment_target=0.01, snapshots=2)
ON = OFF.model_copy(update={"feedback": Listening(negatives=0.3, steer=1.0)})
FINE = ON.model_copy(update={"start": "champion"})


def _run(
    root: Path, settings: Train, shards: ShardsReader, lessons: Lessons | None = None, processes: int = 1
) -> tuple[str, list[Tick]]:
    ticks = list[Tick]()
    places = root / "runs", root / "bundle", root / "c.csv"
    rows = np.arange(100)
    trained = train(
        settings,
        shards,
        *places,
        lambda tick, _: ticks.append(tick),
        held_out=rows,
        processes=processes,
        lessons=lessons,
        networks=root / "networks",
    )
    return trained.bundle, ticks


def _lessons(folder: Path, shards: ShardsReader, champion: Start | None = None) -> Lessons:
    """The first class is liked; images of noise were rejected, of the other classes."""
    random, meta = np.random.default_rng(1), shards.meta
    made = Lessons(
        shards=meta.id,
        classes=meta.classes,
        rejected=random.integers(0, 256, (40, meta.channels, meta.size, meta.size), np.uint8),
        labels=np.arange(40, dtype=np.int64) % 2 + 1,
        train_chances=np.where(shards.train_labels == 0, 0.9, 0.2).astype(np.float32),
        holdout_chances=np.where(shards.holdout_labels == 0, 0.9, 0.2).astype(np.float32),
        champion=champion,
    )
    write_lessons(folder, made)
    return read_lessons(folder)


def test_off_it_is_as_before_to_the_bit(tmp_path: Path) -> None:
    shards = small_shards(tmp_path / "shards")
    plain, _ = _run(tmp_path / "a", OFF, shards)
    heard = _lessons(tmp_path / "l", shards, read_start(tmp_path / "a/networks"))
    assert _run(tmp_path / "b", OFF, shards, heard)[0] == plain
    assert _run(tmp_path / "c", FINE, shards, Lessons())[0] == plain  # asked for, and nothing there
    assert len({_run(tmp_path / name, way, shards, heard)[0] for name, way in (("d", ON), ("e", FINE))} | {plain}) == 3


def test_present_checkpoints_keep_their_key(tmp_path: Path) -> None:
    """Literals: keys that the version before lessons gave."""
    meta = Shards(id="x", snapshot="s", size=16, channels=1, classes=("a", "b", "c"), train_items=200, holdout_items=9)
    before = Train(images_seen=9600, width=8, precision="fp32", augment_target=0.01)
    other = before.model_copy(update={"loss": "non_saturating"})
    keys = ["c4200eaa7efa1e97", "de3db9fa6167b45a"]
    assert [run_key(settings, meta, "j", Lessons()) for settings in (before, other)] == keys
    shards = small_shards(tmp_path / "shards")
    one = _lessons(tmp_path / "l", shards)
    two = replace(one, id="other")
    asked = [OFF, ON, ON.model_copy(update={"feedback": Listening(steer=1.0)})]
    assert len({run_key(way, shards.meta, "j", told) for way in asked for told in (one, two)}) == 5


def _blobs(count: int, left: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, 1, 16, 16]: one soft spot each, in the left half or in the right one; and which."""
    random, axis = np.random.default_rng(seed), np.linspace(-1, 1, 16)
    lefts = random.random(count) < left
    x, y = np.where(lefts, -1, 1) * random.uniform(0.3, 0.8, count), random.uniform(-0.5, 0.5, count)
    size, light = random.uniform(0.35, 0.6, count), random.uniform(150, 250, count)
    away = (axis[None, None] - x[:, None, None]) ** 2 + (axis[None, :, None] - y[:, None, None]) ** 2
    spots = np.exp(-away / (2 * size[:, None, None] ** 2)) * light[:, None, None]
    return spots.astype(np.uint8)[:, None], lefts


def _share_left(images: np.ndarray) -> float:
    return float((images[..., :8].sum((1, 2, 3), dtype=np.int64) > images[..., 8:].sum((1, 2, 3))).mean())


def test_less_is_made_of_what_was_rejected(tmp_path: Path) -> None:
    """Half of the data is on the left. With 0.4 of rejected ones a sixth should be left, or less if it forgets them."""
    images, labels = _blobs(1000, 0.5, 1)[0], np.zeros(1000, np.int64)
    shards = shards_of(tmp_path / "shards", images, labels, images, labels, ("spot",))
    told = Lessons(classes=("spot",), rejected=_blobs(300, 1.0, 2)[0], labels=np.zeros(300, np.int64))
    write_lessons(tmp_path / "l", told)
    shares = []
    for negatives in (0.0, 0.4):
        settings = Train(
            **{"images_seen": 12800, "batch": 32, "width": 4, "z_dim": 16, "ema": 0.99, "precision": "fp32"},
            **{"augment_target": 0.0, "snapshots": 1, "feedback": Listening(negatives=negatives)},
        )
        root = tmp_path / str(negatives)
        _run(root, settings, shards, read_lessons(tmp_path / "l"))
        samples = load_bundle(root / "bundle").sample(np.zeros(1000, np.int64), np.arange(1000, dtype=np.int64))
        shares.append(_share_left(samples))
    assert 0.4 < shares[0] < 0.6 and shares[1] < 0.3, shares


def test_rejected_items_stand_where_their_class_is(tmp_path: Path) -> None:
    shards = small_shards(tmp_path / "shards")
    heard = hear(ON, _lessons(tmp_path / "l", shards), shards.meta, Shape(16, 1, 3, 64, 4))
    assert isinstance(heard.rejected, Rejected)
    labels, found = np.arange(32, dtype=np.int64) % 3, np.zeros(3)
    of_class = {image.tobytes(): index % 2 + 1 for index, image in enumerate(_lessons(tmp_path / "l", shards).rejected)}
    for number in range(400):
        places, images = heard.rejected.among(number, labels, 32, slice(None))
        asked = labels[places.numpy()]
        assert [of_class[image.numpy().tobytes()] for image in images] == asked.tolist()
        found += np.bincount(asked, minlength=3)
    assert found[0] == 0  # of which nothing was rejected
    assert found[1:] / (400 * np.bincount(labels)[1:]) == pytest.approx([0.3, 0.3], abs=0.02)
    whole, half = (heard.rejected.among(7, labels[part], 32, part)[0] for part in (slice(0, 32), slice(16, 32)))
    assert [place for place in whole.tolist() if place >= 16] == [place + 16 for place in half.tolist()]


RUN = """
import sys
from pathlib import Path
import pipeline.training.step as step
from pipeline.lessons import read_lessons
from pipeline.shards import open_shards
from tests.unit.test_listening import FINE, _run
step.TICK_S = 0.05
root = Path(sys.argv[1])
settings = FINE.model_copy(update={"images_seen": 32 * 200})
print(_run(root, settings, open_shards(root.parent / "shards"), read_lessons(root.parent / "l"))[0])
"""


def _process(root: Path, kill: bool = False) -> list[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(root)], env=environment, stdout=subprocess.PIPE, text=True
    )
    if kill:
        while not list(root.glob("runs/*/0-*.json")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    return process.communicate(timeout=200)[0].splitlines()


def test_killed_while_it_listens_it_ends_in_the_same_weights(tmp_path: Path) -> None:
    shards = small_shards(tmp_path / "shards")
    _run(tmp_path / "champion", OFF, shards)
    _lessons(tmp_path / "l", shards, read_start(tmp_path / "champion/networks"))
    whole = _process(tmp_path / "a")
    _process(tmp_path / "b", kill=True)
    assert not (tmp_path / "b/bundle").exists()
    resumed = _process(tmp_path / "b")
    assert resumed[0].startswith("going on from") and resumed[-1] == whole[-1]
    for name in ("generator", "discriminator"):
        files = [tmp_path / place / f"networks/{name}.safetensors" for place in "ab"]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_two_processes_hear_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "TICK_S", 0.0)
    shards = small_shards(tmp_path / "shards")
    told = _lessons(tmp_path / "l", shards)
    settings = ON.model_copy(update={"batch": 64, "images_seen": 64 * 6, "lr": 0.0005})
    alone, together = (_run(tmp_path / str(n), settings, shards, told, processes=n)[1] for n in (1, 2))
    assert [tick.loss_d for tick in alone] == pytest.approx([tick.loss_d for tick in together], rel=2e-3, abs=2e-3)


def test_it_begins_from_the_champion(tmp_path: Path) -> None:
    shards = small_shards(tmp_path / "shards")
    _run(tmp_path / "a", OFF, shards)
    networks = read_start(tmp_path / "a/networks")
    assert networks.images_seen == OFF.images_seen and networks.classes == shards.meta.classes
    state = new_state(OFF, Shape(16, 1, 3, 64, 4), torch.device("cpu"))
    begin(state, networks)
    again = start_of(state, networks.classes)
    for ours, theirs in ((again.generator, networks.generator), (again.discriminator, networks.discriminator)):
        assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert state.overfitting.p == networks.augment
    told = _lessons(tmp_path / "l", shards, networks)
    settings = FINE.model_copy(update={"tuning": Tuning(budget=0.5, lr=0.25)})
    _, ticks = _run(tmp_path / "b", settings, shards, told)
    assert ticks[-1].budget == OFF.images_seen // 2
    rules = Rules(settings, Ranks(), torch.device("cpu"), 32 * 100, 0.001, 1.0, False, warm_up=320)
    rates = [learning_rate(rules, seen, 0) for seen in range(0, 3200, 32)]
    assert rates[0] == pytest.approx(0.0001, rel=0.01) and np.argmax(rates) == 9


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 8}, "trained from scratch: the champion's networks are of another shape"),
        ({"z_dim": 32}, "trained from scratch: the champion's networks are of another shape"),
        ({"classes": ("a", "b", "d")}, "trained from scratch: the champion has other classes"),
        ({"shards": "y"}, "no image weighs more than another: the lessons are of other shards"),
        ({"size": 20}, "no rejected items among what is generated: they are of another size or other channels"),
        ({"classes": ("a", "b", "d")}, "no rejected items among what is generated: the classes have changed"),
    ],
)
def test_what_does_not_fit_is_told_in_a_line(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    shards = small_shards(tmp_path / "shards")
    state = new_state(OFF, Shape(16, 1, 3, 64, 4), torch.device("cpu"))
    told = _lessons(tmp_path / "l", shards, start_of(state, ("a", "b", "c")))
    assert hear(FINE, told, shards.meta, Shape(16, 1, 3, 64, 4)).passed_over == ()
    shape = Shape(16, 1, 3, int(str(changes.get("z_dim", 64))), int(str(changes.get("width", 4))))
    of_meta = {"id" if name == "shards" else name: to for name, to in changes.items() if name not in ("width", "z_dim")}
    assert words in hear(FINE, told, shards.meta.model_copy(update=of_meta), shape).passed_over


def test_lessons_that_lie_about_their_shards_are_an_error(tmp_path: Path) -> None:
    shards = small_shards(tmp_path / "shards")
    told = _lessons(tmp_path / "l", shards)
    meta = shards.meta.model_copy(update={"train_items": 300})
    with pytest.raises(GenloopError, match="chances of 200 and 200 images, and not of 300 and 200"):
        hear(ON, told, meta, Shape(16, 1, 3, 64, 4))
