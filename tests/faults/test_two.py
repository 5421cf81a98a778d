"""Two of everything at once in one workspace."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flows.cli_tools import is_locked
from tests.faults.loops import dvc_status, outcome
from tests.flows.command import command, genloop, until

pytestmark = pytest.mark.slow


def test_of_two_loops_one_is_refused_in_a_line(house: Path) -> None:
    before = outcome(house)
    with subprocess.Popen(**command(house, "run", "-S", "train.seed=11")) as first:
        until(lambda: is_locked(house), "a run", 60)
        for _ in range(2):
            second = genloop(house, "run")
            assert second.returncode == 1
            assert second.stderr.strip().splitlines()[-1].startswith("genloop: another run is at work here")
            assert "Traceback" not in second.stderr
        assert first.wait(300) == 0
    after = outcome(house)
    assert len(after.versions) == len(before.versions) + 1 and len(after.batches) == len(before.batches) + 1
    assert dvc_status(house) == {}


def test_two_that_start_in_the_same_moment(house: Path) -> None:
    runs = [subprocess.Popen(**command(house, "run", "-S", "train.seed=12")) for _ in range(2)]
    assert sorted(run.wait(300) for run in runs) == [0, 1]
    assert dvc_status(house) == {} and outcome(house).champion


def test_a_run_and_batches_at_once(house: Path) -> None:
    """The same batch twice, and another one, while a model is trained."""
    before = outcome(house)
    champion = before.champion
    with subprocess.Popen(**command(house, "run", "-S", "train.seed=13")) as run:
        until(lambda: is_locked(house), "a run", 60)
        asked = [("--seed", "21"), ("--seed", "21"), ("--seed", "22")]
        batches = [subprocess.Popen(**command(house, "generate", "samples", *words)) for words in asked]
        assert [batch.wait(300) for batch in batches] == [0, 0, 0]
        assert run.wait(300) == 0
    after = outcome(house)
    made = {name: items for name, items in after.batches.items() if name not in before.batches}
    assert len(made) == 3 and all(sorted(items) == list(range(20)) for items in made.values())
    assert after.champion == champion + 1 and dvc_status(house) == {}
