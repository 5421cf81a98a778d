"""Prefect's server is killed under a run, and started again at the same address."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from flows import processes, servers, services
from flows.processes import free_port
from flows.records import Service
from tests.faults.loops import dvc_status, outcome
from tests.flows.command import command, genloop, until

pytestmark = [pytest.mark.xdist_group("ports"), pytest.mark.slow]


@pytest.mark.timeout(900)
def test_restarted_under_a_run_it_loses_nothing(house: Path, tmp_path: Path) -> None:
    """Killed in a training, away for ten seconds: the run ends well, or in a line, and the next one mends it."""
    server = started(tmp_path, free_port())
    there = {"PREFECT_API_URL": f"{server.url}/api"}
    before, receipt = outcome(house), house / "runs/stages/train.json"
    try:
        receipt.unlink()
        words = ("run", "--json", "-S", "train.seed=3", "-S", "train.images_seen=6400")
        with subprocess.Popen(
            **command(house, *words, **there) | {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
        ) as run:
            until(lambda: len(list((house / "runs/train").iterdir())) > len(before.versions), "a training", 300)
            kill(server)
            time.sleep(10)
            until(lambda: free_port(server.port, reuse=False) == server.port, "the port to be free again", 120)
            server = started(tmp_path, server.port)
            _, said = run.communicate(timeout=400)
        told = said.decode().splitlines()
        print(f"exit code {run.returncode}: {told[-1]}")
        assert run.returncode in (0, 5) and "Traceback" not in said.decode(), said.decode()
        done = genloop(house, "run", "--json", **there)
        assert done.returncode == 0, done.stderr
        if run.returncode == 0:
            assert "train" in json.loads(done.stdout)["up_to_date"]
        after = outcome(house)
        assert len(after.versions) == len(before.versions) + 1 and after.champion == max(after.versions)
        assert dvc_status(house) == {}
    finally:
        kill(server)


def started(folder: Path, port: int) -> Service:
    """As an operator's supervisor starts it: always at one address."""
    command = servers.command(folder, "prefect", port)
    environment = servers.environment(folder, "prefect", port, {})
    (folder / "var/logs").mkdir(parents=True, exist_ok=True)
    process = processes.spawn(command, environment, folder / "var/logs/prefect.log", private=False)
    server = Service("prefect", f"http://127.0.0.1:{port}", process.pid)
    services.wait_ready(folder, server, timeout_s=120)
    return server


def kill(server: Service) -> None:
    main = psutil.Process(server.pid)
    for process in [*main.children(recursive=True), main]:
        process.kill()
    main.wait(10)
    assert not processes.exists(server.pid)
