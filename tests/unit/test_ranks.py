"""Several processes train as one does; whichever of them dies, the training is not lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import pipeline.training.step as step
from pipeline.model.bundle import load_bundle
from pipeline.params_file import override_params
from pipeline.settings import Train
from pipeline.shards import ShardsReader
from pipeline.training.history import Tick
from pipeline.training.step import train
from tests.unit.small_shards import small_shards

ROOT = Path(__file__).parents[2]
SETTINGS = Train(images_seen=64 * 24, width=8, lr=0.0005, precision="fp32", snapshots=2)
TOLERANCE = 2e-3  # of a loss, after 24 steps of sums in another order


def _run(root: Path, shards: ShardsReader, processes: int, until: int | None = None) -> dict[int, Tick]:
    """The loss at each step, by images seen; `until`: stopped there as by an interrupt."""
    seen: dict[int, Tick] = {}

    def watch(tick: Tick, preview: object) -> None:
        seen[tick.images_seen] = tick
        if until and tick.images_seen >= until:
            raise KeyboardInterrupt

    try:
        train(SETTINGS, shards, root / "runs", root / "bundle", root / "c.csv", watch, processes=processes)
    except KeyboardInterrupt:
        assert until
    return seen


def test_two_processes_give_the_curve_of_one_and_either_goes_on_from_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "TICK_S", 0.0)
    shards = small_shards(tmp_path / "shards")
    alone, together = _run(tmp_path / "a", shards, 1), _run(tmp_path / "b", shards, 2)
    assert list(alone) == list(together) == [64 * (index + 1) for index in range(24)]
    first = _run(tmp_path / "c", shards, 2, until=64 * 10)
    resumed = first | _run(tmp_path / "c", shards, 1)
    for images, tick in alone.items():
        for other in (together[images], resumed[images]):
            assert (other.loss_g, other.loss_d) == pytest.approx(
                (tick.loss_g, tick.loss_d), rel=TOLERANCE, abs=TOLERANCE
            )


def test_torchrun_trains_the_stage(tmp_path: Path) -> None:
    small_shards(tmp_path / "data/shards")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    override_params(tmp_path / "params.yaml", ["train.images_seen=640", "train.width=8", "train.precision=fp32"])
    command = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "pipeline", "train"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert load_bundle(tmp_path / "data/bundle").classes == ("a", "b", "c")
    assert (tmp_path / "data/progress.png").exists() and (tmp_path / "runs/stages/train.json").exists()


RUN = """
import sys
from pathlib import Path
from pipeline.errors import GenloopError
from pipeline.settings import Train
from pipeline.shards import open_shards
from pipeline.training.step import train
root = Path(sys.argv[1])
settings = Train(images_seen=10**7, width=8, precision="fp32")
try:
    shards = open_shards(root / "shards")
    train(settings, shards, root / "runs", root / "b", root / "c.csv", lambda t, p: None, processes=2)
except GenloopError as error:
    sys.exit(str(error))
"""


def _started(root: Path) -> tuple[subprocess.Popen[str], psutil.Process]:
    """A training by two processes, and the second of them, once both are at work."""
    small_shards(root / "shards")
    process = subprocess.Popen([sys.executable, "-c", RUN, str(root)], stderr=subprocess.PIPE, text=True)
    while not list(root.glob("runs/*/0-*.json")):
        assert process.poll() is None
        time.sleep(0.05)
    (follower,) = psutil.Process(process.pid).children()
    return process, follower


def test_a_process_that_dies_ends_the_training_with_what_to_do(tmp_path: Path) -> None:
    process, follower = _started(tmp_path)
    follower.kill()
    assert "another process of this training has ended (run again: it goes on" in process.communicate(timeout=60)[1]
    assert process.returncode == 1


def test_no_process_outlives_the_first(tmp_path: Path) -> None:
    process, follower = _started(tmp_path)
    with process:  # waits for the first alone: the second would hold its pipes open
        os.kill(process.pid, signal.SIGKILL)
    _, left = psutil.wait_procs([follower], timeout=60)
    for process_left in left:
        process_left.kill()
    assert left == [], "the second process goes on without the first"
