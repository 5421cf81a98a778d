"""The Ray cluster that work is spread over where GENLOOP_ENGINE says so, and workers on it.

Its machines have this code, and see the workspace at the same path: what tasks name lies there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

from pydantic import SecretStr

from pipeline.environment import Environment, workspace
from pipeline.errors import ServiceError
from pipeline.ids import handed_down, take_over
from pipeline.trace import Done, keep_for_result, of_task, replay
from pipeline.workers import Loss, Lost, Work, Worker

Task = TypeVar("Task")
Result = TypeVar("Result")

LOCAL = "local"  # what RAY_ADDRESS is taken for where it is not set: a cluster of this machine, for this process
MOVES = 3  # how often a task is begun again where the machine that did it is gone
ELSEWHERE = {"num_cpus": 0, "scheduling_strategy": "SPREAD"}  # beside others: no core need be free any more
ANSWER_S = 10.0
WORKERS = 512  # at most: each has a thread here that waits for it


def connected() -> Any:
    """The module ray, with a cluster to work on. Raises ServiceError where it is not installed or does not answer."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ServiceError(
            "Ray is not installed", where="GENLOOP_ENGINE", remedy="pip install 'genloop[ray]'"
        ) from None
    if ray.is_initialized():
        return ray
    address = os.environ.get("RAY_ADDRESS", LOCAL)
    alone = {"include_dashboard": False} if address == LOCAL else {}
    try:
        _knock(address)
        ray.init(address, runtime_env={"env_vars": _told()}, log_to_driver=False, logging_level="ERROR", **alone)
    except Exception as error:
        what = f"no Ray cluster answers: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        remedy = "start it (`ray start --head`), or set GENLOOP_ENGINE=local"
        raise ServiceError(what, where=f"RAY_ADDRESS={address}", remedy=remedy) from error
    return ray


def _knock(address: str) -> None:
    """Ray itself would go on asking for minutes where nothing listens. Raises OSError."""
    import socket

    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()


def cores(ray: Any) -> int:
    return min(WORKERS, max(2, int(ray.cluster_resources().get("CPU", 0))))


def look_for(folder: Path) -> None:
    """Raises ServiceError where this machine does not see the workspace."""
    if not (folder / "params.yaml").exists():
        import socket

        remedy = "mount it there on every machine of the cluster, or set GENLOOP_ENGINE=local"
        raise ServiceError("the workspace is not there", where=f"{socket.gethostname()}:{folder}", remedy=remedy)


class RemoteWorker(Generic[Task, Result]):
    """A worker that takes one core of the cluster; where its machine is lost, the task is begun on another one."""

    def __init__(self, work: Work[Task, Result]) -> None:
        self.stopped = False
        self._ray, self._work = connected(), work
        self._lock = Lock()
        self._room: dict[str, Any] = {"num_cpus": 1}
        self._actor: Any = None

    def do(self, task: Task) -> Result:
        for _ in range(MOVES):
            try:
                answer, error, spans = self._ray.get(self._hired().do.remote(task))
            except self._ray.exceptions.RayActorError:
                self.end()
                continue
            replay(spans)
            if error is not None:
                raise error
            return answer  # type: ignore[no-any-return]
        raise Lost(Loss.DIED, self._work.function.__qualname__)

    def stop(self) -> None:
        with self._lock:
            self.stopped = True
            self._fire()

    def end(self) -> None:
        with self._lock:
            self._fire()

    def _hired(self) -> Any:
        with self._lock:
            if self.stopped:
                raise Lost(Loss.DIED, self._work.function.__qualname__)
            if self._actor is None:
                self._actor = self._ray.remote(**self._room)(_Host).remote(handed_down(), workspace(), self._work)
                self._room = ELSEWHERE
            return self._actor

    def _fire(self) -> None:
        if self._actor is not None:
            self._ray.kill(self._actor)
            self._actor = None


class _Host:
    """On a machine of the cluster: a worker process, which alone dies of what a task does."""

    def __init__(self, handed: Mapping[str, str], folder: Path, work: Work[Any, Any]) -> None:
        take_over(handed)
        keep_for_result()
        self._folder = folder
        self._worker = Worker[Any, Any](work)

    def do(self, task: Any) -> tuple[Any, Exception | None, list[Done]]:
        with of_task() as spans:
            try:
                look_for(self._folder)
                return self._worker.do(task), None, spans
            except Exception as error:
                return None, error, spans


def _told() -> dict[str, str]:
    """Our settings for the cluster's machines, where what they should not see has to be set by themselves."""
    fields = Environment.model_fields
    hidden = {f"GENLOOP_{name.upper()}" for name, field in fields.items() if field.annotation is SecretStr}
    return {name: text for name, text in os.environ.items() if name.startswith("GENLOOP_") and name not in hidden}
