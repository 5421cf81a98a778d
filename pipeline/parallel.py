"""Work spread over processes, with results in order and bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

QUEUED = 4  # tasks a worker: enough that none waits for the caller


def each(function: Callable[[Task], Result], tasks: Iterable[Task], imports: tuple[str, ...] = ()) -> Iterator[Result]:
    """`function` of each task in processes of their own, in the order of the tasks; few of them are in memory at once.

    `imports`: modules that the function imports late; they are imported once, before the workers are forked.
    """
    workers = max(2, os.cpu_count() or 1)
    context = get_context("forkserver")
    context.set_forkserver_preload([function.__module__, *imports])
    running: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for task in tasks:
            running.append(pool.submit(function, task))
            while running and (len(running) > QUEUED * workers or running[0].done()):
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
