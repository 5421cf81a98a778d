"""Work on a Ray cluster of two machines' worth of processes: the same results, also where one of them goes down."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ServiceError
from pipeline.parallel import each
from pipeline.workers import Limits, Loss
from tests.unit.ray_cluster import ray_cluster
from tests.unit.test_parallel import act, losses

ROOT = Path(__file__).parents[2]
CORES = 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with ray_cluster(machines=1, cores=CORES) as started:
        yield started


@pytest.fixture(autouse=True)
def workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOP_WORKSPACE", str(ROOT))


def where(seconds: float) -> str:
    """The machine, by the process that keeps it for Ray."""
    time.sleep(seconds)
    return os.environ["RAY_RAYLET_PID"]


def test_a_cluster_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENLOOP_ENGINE", "ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ServiceError, match="no Ray cluster answers") as caught:
        list(each(act, [b"A"]))
    assert caught.value.where == "RAY_ADDRESS=127.0.0.1:9"


def test_results_come_in_order_and_a_deadly_task_is_lost_alone(cluster: Any) -> None:
    tasks = [b"KILL" if index == 3 else b"A%d" % index for index in range(12)]
    assert losses(tasks) == [Loss.DIED if task == b"KILL" else task.lower() for task in tasks]
    assert losses([b"A", b"HANG", b"B"], Limits(timeout_s=1)) == [b"a", Loss.TIME, b"b"]
    with pytest.raises(ValueError, match="as it should"):
        list(each(act, [b"RAISE"]))


@pytest.mark.slow
def test_a_machine_that_goes_down_loses_no_task(cluster: Any) -> None:
    second = cluster.add_node(num_cpus=CORES, object_store_memory=200 * 2**20)
    cluster.wait_for_nodes()
    found = []
    for index, machine in enumerate(each(where, [0.2] * 40)):
        found.append(machine)
        if second is not None and index > 4 and len(set(found)) == 2:
            cluster.remove_node(second, allow_graceful=False)
            second = None
    assert second is None and len(found) == 40
    assert len(set(found[-4:])) == 1


def test_a_machine_that_does_not_see_the_workspace_says_so(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GENLOOP_WORKSPACE", str(tmp_path))
    with pytest.raises(ServiceError, match="the workspace is not there") as caught:
        list(each(act, [b"A"]))
    assert caught.value.where.endswith(f":{tmp_path}")
