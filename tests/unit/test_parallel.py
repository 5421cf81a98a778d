"""Work in processes: in order, and what a process dies of stays in it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pipeline import parallel, workers
from pipeline.errors import GenloopError
from pipeline.parallel import each
from pipeline.workers import Limits, Loss, Lost

DEADLY = ("tests.unit.deadly",)
linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel sets no bound to a process's memory")


def act(data: bytes) -> bytes:
    """Only a worker imports what is deadly."""
    from tests.unit.deadly import act

    return act(data)


def losses(tasks: list[bytes], limits: Limits = Limits()) -> list[bytes | Loss]:
    def rescue(do: object, task: bytes, lost: Lost) -> bytes | Loss:
        return lost.loss

    return list(each(act, tasks, DEADLY, limits, rescue))


def test_results_come_in_the_order_of_the_tasks() -> None:
    tasks = [b"A%d" % index for index in range(200)]
    assert list(each(act, tasks)) == [task.lower() for task in tasks]


def blas_threads(_: int) -> list[int]:
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info

    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


def test_workers_multiply_matrices_in_one_thread_each_and_the_caller_as_it_did() -> None:
    before, told = blas_threads(0), os.environ.get(workers.BLAS_THREADS)
    assert [set(found) for found in each(blas_threads, range(3))] == [{1}] * 3
    assert (blas_threads(0), os.environ.get(workers.BLAS_THREADS)) == (before, told)


def test_large_tasks_are_not_taken_long_before_their_turn() -> None:
    taken, given = [], 0

    def tasks() -> Iterator[bytes]:
        for index in range(20):
            taken.append(index)
            yield b"A%d" % index

    for result in each(act, tasks(), size=lambda task: 2**40):
        assert result == b"a%d" % given and len(taken) == given + 1
        given += 1
    assert given == 20


def test_a_task_that_kills_its_process_is_lost_alone() -> None:
    tasks = [b"KILL" if index % 5 == 2 else b"A" for index in range(40)]
    assert losses(tasks) == [Loss.DIED if task == b"KILL" else b"a" for task in tasks]


def test_a_task_that_never_ends_is_ended() -> None:
    begun = time.monotonic()
    assert losses([b"A", b"HANG", b"B"], Limits(timeout_s=1)) == [b"a", Loss.TIME, b"b"]
    assert time.monotonic() - begun < 20


@linux
def test_a_task_that_needs_too_much_memory_is_lost_alone() -> None:
    assert losses([b"A", b"SWELL", b"B"], Limits(memory_bytes=2 * 2**30)) == [b"a", Loss.MEMORY, b"b"]


def test_without_a_rescue_it_is_an_error_with_a_remedy() -> None:
    with pytest.raises(Lost, match="a worker process died") as caught:
        list(each(act, [b"A", b"KILL"], DEADLY))
    assert caught.value.where == "act" and caught.value.remedy


def test_a_rescue_may_do_other_tasks_in_a_process_of_its_own() -> None:
    def halves(do: parallel.Do[bytes, bytes], task: bytes, lost: Lost) -> bytes:
        found = b""
        for half in (task[:4], task[4:]):
            try:
                found += do(half)
            except Lost:
                found += b"?"
        return found

    assert list(each(act, [b"KILLGOOD", b"OK"], DEADLY, rescue=halves)) == [b"?good", b"ok"]


def test_what_the_function_raises_comes_with_the_place() -> None:
    with pytest.raises(ValueError, match="as it should") as caught:
        list(each(act, [b"RAISE"]))
    assert "deadly.py" in caught.value.__notes__[0]


def test_what_is_left_in_the_middle_leaves_no_process() -> None:
    started = time.monotonic()
    for _ in each(act, [b"A", b"HANG"] * 20, DEADLY):
        break
    assert time.monotonic() - started < 20
    assert not [child for child in psutil.Process().children(recursive=True) if child.cpu_percent(0.1) > 50]


def test_a_worker_that_can_not_start_is_no_fault_of_its_task() -> None:
    with pytest.raises(GenloopError, match="no worker process can be started") as caught:
        list(each(act, [b"A"], ("tests.unit.not_there",), rescue=lambda do, task, lost: b"blamed"))
    assert not isinstance(caught.value, Lost)


ORPHANED = """
from pipeline.parallel import each
from pipeline.workers import Limits
from tests.unit.deadly import act
print("begun", flush=True)
list(each(act, [b"A", b"HANG", b"HANG"], (), Limits(timeout_s=6)))
"""


def works(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # a child that had only to look something up
        return process.cpu_percent(0.1) > 5  # of a core, which others may want too
    return False


def test_no_process_outlives_a_run_that_is_killed() -> None:
    run = subprocess.Popen([sys.executable, "-c", ORPHANED], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    try:
        assert run.stdout and run.stdout.readline()
        deadline = time.monotonic() + 60
        while len(busy := [p for p in psutil.Process(run.pid).children(recursive=True) if works(p)]) < 2:
            assert time.monotonic() < deadline, busy
        below = psutil.Process(run.pid).children(recursive=True)
    finally:
        run.kill()
        run.communicate()
    _, alive = psutil.wait_procs(below, timeout=30)
    assert not alive
