"""Bits that flip and files that are cut short below a workspace: found before anything is made of them, and mended."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import pipeline.training.step as step
from pipeline.adapters.versions import Versions
from pipeline.errors import DamagedError
from pipeline.settings import Train
from pipeline.shards import whole_shards
from pipeline.training.step import train
from tests.faults.loops import dvc_status, outcome
from tests.flows.command import genloop
from tests.unit.small_shards import small_shards


def flip(path: Path, keep_time: bool = True) -> None:
    """One bit in the middle; as a disk does it, without a new time, or as a program does."""
    stamp, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    mode = stamp.st_mode
    path.chmod(0o644)
    with path.open("r+b") as file:  # the same file: what is linked to it is damaged too
        file.write(data)
    path.chmod(mode)
    if keep_time:
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("name", ["train-images", "train-labels", "holdout-images", "holdout-labels"])
@pytest.mark.parametrize("harm", [flip, cut])
def test_shards_that_are_not_as_they_were_written_are_refused(tmp_path: Path, name: str, harm: object) -> None:
    made = small_shards(tmp_path / "shards")
    assert whole_shards(tmp_path / "shards").meta == made.meta
    harm(tmp_path / f"shards/{name}.npy")  # type: ignore[operator]
    with pytest.raises(DamagedError, match="not what was written"):
        whole_shards(tmp_path / "shards")


@pytest.mark.parametrize(("harm", "seen"), [([flip], 64 * 16), ([cut], 64 * 16), ([flip, cut], 0)])
def test_a_damaged_checkpoint_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], harm: list[object], seen: int
) -> None:
    """Of two, the newest or both. What comes of it is what an undisturbed training comes to."""
    monkeypatch.setattr(step, "TICK_S", 0.0)
    shards, settings = (
        small_shards(tmp_path / "shards"),
        Train(images_seen=64 * 32, width=8, precision="fp32", snapshots=4),
    )

    def run(name: str, stop_at: int = 0) -> str:
        def watch(tick: step.Tick, _: object) -> None:
            if tick.images_seen == stop_at:
                raise KeyboardInterrupt

        root = tmp_path / name
        return train(settings, shards, root / "runs", root / "bundle", root / "c.csv", watch).bundle

    wanted = run("undisturbed")
    with pytest.raises(KeyboardInterrupt):
        run("disturbed", 64 * 17)
    checkpoints = sorted((tmp_path / "disturbed/runs").glob("*/0-*.safetensors"))
    for one, path in zip(harm, reversed(checkpoints), strict=False):
        one(path)  # type: ignore[operator]
    capsys.readouterr()
    assert run("disturbed") == wanted
    told = capsys.readouterr().out
    assert told.count("is damaged: going back behind it") == len(harm)
    assert (f"going on from {seen:,} of" in told) is bool(seen)


@pytest.fixture
def workspace(house: Path, tmp_path: Path) -> Iterator[Path]:
    """It, as it was before: put back after the test."""
    shutil.copytree(house, tmp_path / "kept", symlinks=True)
    yield house
    shutil.rmtree(house)
    (tmp_path / "kept").rename(house)


@pytest.mark.slow
@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
def test_a_part_of_a_snapshot_is_brought_back(workspace: Path, harm: object) -> None:
    before = outcome(workspace)
    (part,) = (workspace / "data/snapshot/parts").iterdir()
    flip(part, keep_time=False) if harm is flip else harm(part)  # type: ignore[operator]
    done = genloop(workspace, "run", "--json")
    assert done.returncode == 0, done.stderr
    assert f"data/snapshot/parts/{part.name} was damaged or gone: it is brought back" in done.stderr
    assert set(json.loads(done.stdout)["up_to_date"]) == {"collect", "validate", "preprocess", "train", "evaluate"}
    assert outcome(workspace) == before and dvc_status(workspace) == {}


@pytest.mark.slow
@pytest.mark.parametrize("cached", [False, True])
def test_a_bit_of_a_shard_is_found_by_its_hash_and_the_next_run_makes_it_anew(workspace: Path, cached: bool) -> None:
    """As a disk flips it: size and time stay, and DVC sees nothing. cached: where DVC keeps it, too."""
    before, shard = outcome(workspace), workspace / "data/shards/train-images.npy"
    if cached:
        versions = Versions(workspace)
        flip(versions.files(str(versions.stored("preprocess", "data/shards")["md5"]))[shard.name])
    wanted = shard.read_bytes()
    assert dvc_status(workspace) == {}  # by which it notes sizes and times
    flip(shard)
    assert dvc_status(workspace) == {}
    done = genloop(workspace, "run", "-S", "train.seed=1")
    assert done.returncode == 6 and "Traceback" not in done.stderr, done.stderr
    assert "the shards are not what was written: their hash is" in done.stderr.splitlines()[-1]
    done = genloop(workspace, "run", "--json")
    assert done.returncode == 0, done.stderr
    assert shard.read_bytes() == wanted and dvc_status(workspace) == {}
    after = outcome(workspace)
    assert (after.shards, after.snapshot) == (before.shards, before.snapshot) and len(after.versions) == len(
        before.versions
    ) + 1


@pytest.mark.slow
def test_an_altered_bundle_is_made_again_from_its_checkpoint(workspace: Path) -> None:
    before = outcome(workspace)
    flip(workspace / "data/bundle/weights.safetensors", keep_time=False)
    assert genloop(workspace, "run").returncode == 0
    assert outcome(workspace) == before and dvc_status(workspace) == {}
