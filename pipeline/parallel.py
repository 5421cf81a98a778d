"""Work spread over processes, here or on a cluster, with results in order and bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from pipeline.environment import Environment
from pipeline.workers import Limits, Lost, Work, Worker

if TYPE_CHECKING:
    from pipeline.cluster import RemoteWorker

Task = TypeVar("Task")
Result = TypeVar("Result")

QUEUED, QUEUED_BYTES = 4, 32 * 2**20  # a worker: enough that none waits for the caller

Do = Callable[[Task], Result]
Rescue = Callable[[Do[Task, Result], Task, Lost], Result]


def each(
    function: Do[Task, Result],
    tasks: Iterable[Task],
    imports: tuple[str, ...] = (),
    limits: Limits = Limits(),
    rescue: Rescue[Task, Result] | None = None,
    harmless: Callable[[Task], bool] = lambda task: False,
    size: Callable[[Task], int] = lambda task: 0,
) -> Iterator[Result]:
    """`function` of each task in processes of their own, in the order of the tasks; few of them are in memory at once.

    imports: modules that the function imports late; they are imported once, before the workers are forked.
    rescue: gives the result of a task that was lost. It is handed the function, which it may do more tasks with in a
    process, and which raises Lost. Without it, each raises Lost, and in any case what the function raises.
    harmless: tasks that are done here and now. size: of a task, in bytes; with large ones, fewer are in memory at once.
    """
    workers = _workers(Work(function, (function.__module__, *imports), limits))
    idle, count = list(workers), len(workers)

    def done(task: Task) -> Result:
        worker = idle.pop()  # the one that was used last: few tasks start few processes
        try:
            return worker.do(task)
        except Lost as lost:
            if rescue is None or worker.stopped:
                raise
            return rescue(worker.do, task, lost)
        finally:
            idle.append(worker)

    running: deque[Future[Result]] = deque()
    sizes: deque[int] = deque()
    threads = ThreadPoolExecutor(count)
    try:
        for task in tasks:
            running.append(_at_once(function, task) if harmless(task) else threads.submit(done, task))
            sizes.append(size(task))
            del task
            while running and (len(running) > QUEUED * count or sum(sizes) > QUEUED_BYTES * count or running[0].done()):
                sizes.popleft()
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.stop()
        threads.shutdown()
        for worker in workers:
            worker.end()


def _at_once(function: Do[Task, Result], task: Task) -> Future[Result]:
    future = Future[Result]()
    future.set_result(function(task))
    return future


def _workers(work: Work[Task, Result]) -> Sequence[Worker[Task, Result] | RemoteWorker[Task, Result]]:
    """One a core of what GENLOOP_ENGINE names."""
    if Environment().engine == "ray":
        from pipeline.cluster import RemoteWorker, connected, cores

        return [RemoteWorker(work) for _ in range(cores(connected()))]
    return [Worker(work) for _ in range(max(2, os.cpu_count() or 1))]
