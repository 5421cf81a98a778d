"""MLflow's and the feedback's database: locked by another process for a while, away for a while, killed and started."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows import wiring
from pipeline.adapters.ratings import open_ratings
from pipeline.adapters.registry import SQLITE, Registry
from pipeline.environment import LOCAL_FEEDBACK, LOCAL_REGISTRY
from pipeline.errors import ServiceError
from tests.contract.databases import new_database, stoppable_postgres
from tests.contract.delivering import CARD, make_bundle
from tests.contract.test_ratings import BATCH, enrolled, verdict
from tests.faults.loops import dvc_status, outcome
from tests.flows.command import genloop

HOLDER = """
import sqlite3, sys, time
held = sqlite3.connect(sys.argv[1], timeout=60)
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
held.rollback()
"""
FIGURES = pytest.mark.filterwarnings("ignore:.*Any type hint:UserWarning")


@contextmanager
def locked(database: Path, seconds: float) -> Iterator[None]:
    """By another process, from now on and for so long at most."""
    words = [sys.executable, "-c", HOLDER, str(database), str(seconds)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.kill()


@FIGURES
def test_a_registry_that_is_locked_is_told_and_later_has_one_version(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle")
    registry = Registry(f"{SQLITE}{tmp_path / LOCAL_REGISTRY}", tmp_path / "var/mlartifacts")
    with locked(tmp_path / LOCAL_REGISTRY, 60), pytest.raises(ServiceError, match="database is locked"):
        registry.register("generator", tmp_path / "bundle", CARD, {"snapshot": "s"}, {})
    with locked(tmp_path / LOCAL_REGISTRY, 2):  # shorter than it waits
        registry.register("generator", tmp_path / "bundle", CARD, {"snapshot": "s"}, {})
    assert [model.version for model in registry.newest("generator", 9)] == [1]


@pytest.mark.slow
def test_a_run_with_a_registry_that_is_locked_or_gone_stops_in_a_line_and_the_next_goes_on(
    house: Path, tmp_path: Path
) -> None:
    """Gone, it is not made anew: that one would have no champion to hold the next model against."""
    before, database = outcome(house), house / LOCAL_REGISTRY
    with locked(database, 300):
        stopped(house, "run", "-S", "batches.samples.seed=31", words="database is locked")
    database.rename(tmp_path / "away.db")
    stopped(house, "run", words="MLflow's database is gone")
    stopped(house, "generate", words="MLflow's database is gone")
    assert not database.exists()
    (tmp_path / "away.db").rename(database)
    assert genloop(house, "run").returncode == 0
    after = outcome(house)
    assert (after.versions, after.champion) == (before.versions, before.champion)
    assert len(after.batches) == len(before.batches) + 1 and dvc_status(house) == {}


def stopped(house: Path, *arguments: str, words: str) -> None:
    done = genloop(house, *arguments)
    assert done.returncode == 5 and "Traceback" not in done.stderr, done.stderr
    assert words in done.stderr.strip().splitlines()[-1]


def test_feedback_that_is_locked_for_a_while_is_waited_for(tmp_path: Path) -> None:
    with wiring.ratings(tmp_path) as ratings:
        ratings.enroll(BATCH, enrolled(4), 0.25)
        with locked(tmp_path / LOCAL_FEEDBACK, 3):
            start = time.monotonic()
            ratings.record([verdict(1)], ["a"])
            assert time.monotonic() - start > 1
        assert ratings.position() == 1


def test_feedback_that_is_gone_is_told_and_not_begun_anew(tmp_path: Path) -> None:
    with wiring.ratings(tmp_path) as ratings:
        ratings.enroll(BATCH, enrolled(4), 0.25)
        ratings.record([verdict(1)], ["a"])
    path = tmp_path / LOCAL_FEEDBACK
    path.rename(tmp_path / "away")
    for ask in (wiring.ratings, wiring.ratings_if_any):
        with pytest.raises(ServiceError, match="the feedback's database is gone"):
            ask(tmp_path)
    assert not path.exists()
    (tmp_path / "away").rename(path)
    with wiring.ratings(tmp_path) as ratings:
        assert ratings.position() == 1


def test_a_postgresql_that_is_killed_and_started_again_has_what_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    with stoppable_postgres() as (server, control):
        url = new_database(server)
        with open_ratings(url) as ratings:
            ratings.enroll(BATCH, enrolled(4), 0.25)
            ratings.record([verdict(1)], ["a"])
            control("stop")
            with pytest.raises(ServiceError) as told:
                ratings.record([verdict(2)], ["b"])
            assert "\n" not in str(told.value)
            control("start")
            ratings.record([verdict(2)], ["b"])
            assert ratings.position() == 2
