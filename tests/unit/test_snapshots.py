"""The best snapshot is kept; a training that blows up goes back and on at a lower rate, and gives up in the end."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pipeline.errors import GenloopError
from pipeline.model.bundle import Bundle
from pipeline.settings import Train
from pipeline.training.history import Tick
from pipeline.training.snapshots import due
from pipeline.training.step import train
from tests.unit.small_shards import small_shards

SETTINGS = Train(images_seen=64 * 40, width=8, precision="fp32", snapshots=4)


def _trained(root: Path, verdicts: list[float], settings: Train = SETTINGS) -> tuple[str, list[str], list[Tick]]:
    """The bundle that is kept, those that were judged, and the ticks; the judge says what it is told to."""
    ids, ticks, left = list[str](), list[Tick](), list(verdicts)
    shards = small_shards(root / "shards")

    def judge(bundle: Bundle) -> float:
        weights = bundle.generator.state_dict()
        ids.append(str(float(sum(tensor.double().sum() for tensor in weights.values()))))
        return left.pop(0)

    train(settings, shards, root / "runs", root / "bundle", root / "c.csv", lambda tick, _: ticks.append(tick), judge)
    from pipeline.model.bundle import load_bundle

    kept = load_bundle(root / "bundle").generator.state_dict()
    return str(float(sum(tensor.double().sum() for tensor in kept.values()))), ids, ticks


def test_the_best_snapshot_is_kept(tmp_path: Path) -> None:
    kept, judged, ticks = _trained(tmp_path, [3.0, 1.0, 1.5, 1.2])
    assert kept == judged[1] != judged[3]
    assert [tick.nfd for tick in ticks if tick.nfd] == [3.0, 1.0, 1.5, 1.2]


def test_a_blow_up_is_undone_and_tried_again_at_half_the_rate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, judged, ticks = _trained(tmp_path, [3.0, 1.0, 60.0, 0.9, 0.8])
    assert "blown up at 1,920 images, the last good snapshot is of 1,280; again from there at lr 0.001" in (
        capsys.readouterr().out
    )
    assert kept == judged[4]
    before, after = (next(tick for tick in ticks if tick.nfd == nfd) for nfd in (1.0, 0.9))
    assert after.images_seen == 1920 and after.lr < before.lr / 2
    assert (before.rollbacks, after.rollbacks) == (0, 1)


def test_after_too_many_blow_ups_the_best_one_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = SETTINGS.model_copy(update={"retries": 2})
    kept, judged, _ = _trained(tmp_path, [1.0, math.nan, 70.0, math.inf], settings)
    assert kept == judged[0]
    assert "no more retries: the best snapshot is kept" in capsys.readouterr().out


def test_losses_that_are_not_finite_are_a_blow_up(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"lr": 1e30, "retries": 1})
    with pytest.raises(GenloopError, match="blows up within"):
        _trained(tmp_path, [1.0] * 9, settings)


def test_snapshots_are_evenly_spaced_and_the_last_is_the_end() -> None:
    assert [seen for seen in range(32, 1601, 32) if due(seen, 32, 1600, 4)] == [416, 800, 1216, 1600]
    assert [seen for seen in range(32, 65, 32) if due(seen, 32, 64, 6)] == [32, 64]
