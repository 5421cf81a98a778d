"""The loop killed with `kill -9` at random moments: run again it ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pipeline.files import write_json
from tests.faults.loops import dvc_status, make, outcome, strangers, torn
from tests.flows.command import command, genloop

KILLS = int(os.environ.get("KILLS", "50"))
SEED = int(os.environ.get("KILLS_SEED", "0"))
LONGEST_S = 400


@pytest.mark.slow
@pytest.mark.timeout(120 * KILLS + 600)
def test_killed_at_random_moments_the_loop_ends_as_if_undisturbed(tmp_path: Path) -> None:
    """Each workspace is run until it is done, killed on its way, and then another one, until there were enough kills.

    Half of the kills are of the run with all its children (S3, Prefect, stages, workers), as when a machine goes down,
    half of its first process alone, as by a kernel that lacks memory.
    """
    undisturbed = make(tmp_path / "undisturbed")
    begun = time.monotonic()
    assert genloop(undisturbed, "run").returncode == 0
    took, wanted = time.monotonic() - begun, outcome(undisturbed)
    chance, kills, at, left = random.Random(SEED), 0, Counter[str](), 0
    laps = list[int]()
    while kills < KILLS:
        workspace, laps = make(tmp_path / f"w{len(laps)}"), [*laps, 0]
        while True:
            moment, whole = chance.uniform(0, took), chance.random() < 0.5
            begun = time.monotonic()
            stage = _killed(workspace, moment if kills < KILLS else LONGEST_S, whole)
            if stage is None:
                took = took if laps[-1] else min(took, time.monotonic() - begun)
                break
            kills, laps[-1] = kills + 1, laps[-1] + 1
            at[stage] += 1
            print(
                f"kill {kills} after {moment:.1f} s, {'all' if whole else 'the first process'}, in {stage}", flush=True
            )
        assert outcome(workspace) == wanted, f"seed {SEED}, workspace {len(laps)} after {laps[-1]} kills"
        assert dvc_status(workspace) == {}
        assert strangers(workspace, undisturbed) == []
        checked = genloop(workspace, "doctor", "--json")
        assert checked.returncode == 0 and {one["state"] for one in json.loads(checked.stdout)} <= {"ok", "warn"}
        assert _alive(workspace) == []
        left += len(torn(workspace))
    told = {"kills": kills, "seed": SEED, "laps": laps, "in": dict(at), "torn": left, "took_s": took}
    print(json.dumps(told), flush=True)
    if where := os.environ.get("FAULTS_TOLD"):
        write_json(Path(where) / "kill.json", told)


def _killed(workspace: Path, after_s: float, whole: bool) -> str | None:
    """The stage that it was in, or None where it ended well before."""
    log = workspace.with_suffix(".log")
    with log.open("wb") as told:
        run = subprocess.Popen(**command(workspace, "run") | {"stderr": told, "start_new_session": True})
        try:
            code = run.wait(after_s)
        except subprocess.TimeoutExpired:
            stage = _stage(workspace)
            run.send_signal(signal.SIGKILL)
            if whole:
                _kill_all(workspace)
            run.wait()
            return stage
    assert code == 0, log.read_text()[-3000:]
    return None


def _stage(workspace: Path) -> str:
    """What was going on, by the processes and what they made."""
    from pipeline.stages import STAGES

    words = [" ".join(_words(pid)) for pid in _alive(workspace)]
    for name in STAGES:
        if any(f"-m pipeline {name}" in told for told in words):
            return name
    last = _last_line(workspace.with_suffix(".log"))
    return last.split()[0] if last else "start"


def _words(pid: int) -> list[str]:
    with suppress(psutil.Error):
        return list(psutil.Process(pid).cmdline())
    return []


def _last_line(path: Path) -> str:
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _kill_all(workspace: Path) -> None:
    while left := _alive(workspace):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _alive(workspace: Path) -> list[int]:
    return list(_of(workspace))


def _of(workspace: Path) -> Iterator[int]:
    """Processes that have the workspace in their environment, as all that a run starts do."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            mine = process.environ().get("GENLOOP_WORKSPACE") == str(workspace)
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                yield process.pid
