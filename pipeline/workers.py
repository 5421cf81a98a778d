"""Processes of this machine that do one task after the other; a task that kills its process is lost alone."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum
from importlib import import_module
from multiprocessing import forkserver, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar

from pipeline.errors import GenloopError
from pipeline.ids import handed_down, take_over
from pipeline.trace import keep_for_result, of_task, replay

Task = TypeVar("Task")
Result = TypeVar("Result")

PR_SET_PDEATHSIG = 1
BLAS_THREADS = "OPENBLAS_NUM_THREADS"  # NumPy's and SciPy's; read where these are loaded
OOM_SCORE = "500"  # where the machine's memory ends, the kernel is to end a worker, not the run


class Loss(Enum):
    DIED = "died"
    TIME = "took too long"
    MEMORY = "needs too much memory"


class Lost(GenloopError):
    """A task that has no result."""

    def __init__(self, loss: Loss, task: str) -> None:
        super().__init__(f"a worker process {loss.value}", where=task, remedy="see what else takes the memory")
        self.loss = loss

    def __reduce__(self) -> tuple[object, ...]:
        return Lost, (self.loss, self.where)


class Limits(NamedTuple):
    """What a task may use. memory_bytes: of its process; Arrow alone reserves 1 GiB; only Linux keeps to it."""

    timeout_s: float | None = None
    memory_bytes: int | None = None


class Work(NamedTuple, Generic[Task, Result]):
    """What a worker is for. function: of a task. imports: modules that it imports late, imported once before workers
    are forked."""

    function: Callable[[Task], Result]
    imports: tuple[str, ...] = ()
    limits: Limits = Limits()


def end_with_parent() -> None:
    """Have the kernel kill this process where the one that started it ends, however that ends (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def prepare(function: Callable[..., object], imports: tuple[str, ...]) -> None:
    """Have what the function's workers need be imported from now on, beside what is done here meanwhile."""
    get_context("forkserver").set_forkserver_preload([function.__module__, *imports])
    with suppress(OSError):
        _run_forkserver()


def _run_forkserver() -> None:
    """Every core has a worker: threads of their matrix products would only be in each other's way."""
    given = BLAS_THREADS in os.environ
    os.environ.setdefault(BLAS_THREADS, "1")
    try:
        forkserver.ensure_running()
    finally:
        if not given:
            os.environ.pop(BLAS_THREADS, None)


class Worker(Generic[Task, Result]):
    """A process that does one task after the other; where it dies, the next task starts another one."""

    def __init__(self, work: Work[Task, Result]) -> None:
        self.stopped = False
        self._work = work
        self._lock = Lock()
        self._running: tuple[BaseProcess, Connection] | None = None

    def do(self, task: Task) -> Result:
        pipe = self._pipe()
        begun = time.monotonic()
        try:
            pipe.send(task)
            answer, error, spans = pipe.recv()
        except (EOFError, OSError):
            self.end()
            late = self._work.limits.timeout_s is not None and time.monotonic() - begun >= self._work.limits.timeout_s
            raise Lost(Loss.TIME if late else Loss.DIED, self._work.function.__qualname__) from None
        replay(spans)
        if isinstance(error, MemoryError):
            raise Lost(Loss.MEMORY, self._work.function.__qualname__) from error
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return]

    def stop(self) -> None:
        """Whatever it does; that task is lost."""
        with self._lock:
            self.stopped = True
            if self._running is not None:
                self._running[0].kill()

    def end(self) -> None:
        with self._lock:
            if self._running is not None:
                process, pipe = self._running
                process.kill()
                process.join()
                pipe.close()
                self._running = None

    def _pipe(self) -> Connection:
        with self._lock:
            if self.stopped:
                raise Lost(Loss.DIED, self._work.function.__qualname__)
            if self._running is None:
                self._running = self._started()
            return self._running[1]

    def _started(self) -> tuple[BaseProcess, Connection]:
        context = get_context("forkserver")
        context.set_forkserver_preload(list(self._work.imports))
        _run_forkserver()
        pipe, its = context.Pipe()
        process = context.Process(target=_serve, args=(its, handed_down(), self._work), daemon=True)
        process.start()
        its.close()
        try:
            pipe.recv()
        except (EOFError, OSError):  # no fault of a task's
            raise GenloopError("no worker process can be started", remedy="see what is written above") from None
        return process, pipe


def _serve(pipe: Connection, handed: Mapping[str, str], work: Work[Any, Any]) -> None:
    """In the worker: do tasks until the pipe ends. The kernel keeps the limits, also where a decoder never returns."""
    take_over(handed)
    keep_for_result()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    if work.limits.memory_bytes:
        most = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (work.limits.memory_bytes, most))
    for name in work.imports:
        import_module(name)
    with suppress(EOFError, ConnectionError):  # the run has ended
        pipe.send(None)
        while True:
            task = pipe.recv()
            signal.setitimer(signal.ITIMER_REAL, work.limits.timeout_s or 0)
            with of_task() as spans:
                answer = (*_answer(work.function, task), spans)
            signal.setitimer(signal.ITIMER_REAL, 0)
            del task
            pipe.send(answer)
            del answer


def _answer(function: Callable[[Any], Any], task: Any) -> tuple[Any, Exception | None]:
    try:
        return function(task), None
    except Exception as error:
        error.add_note(traceback.format_exc())
        return None, error
