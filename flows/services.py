"""Local services of a workspace: S3 (rclone), Prefect and MLflow on 127.0.0.1, with state under var/."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows import processes, records, servers
from flows.records import Record, Service
from flows.servers import credentials_file, rclone, s3_environment
from pipeline.errors import ServiceError

__all__ = [
    "Service",
    "Services",
    "credentials_file",
    "down",
    "for_run",
    "rclone",
    "running",
    "s3_environment",
    "start",
    "up",
    "wait_ready",
]


class Services(dict[str, Service]):
    """Services by name; `wait` blocks until they answer, so that other work can be done before."""

    def __init__(self, workspace: Path, services: Iterable[Service]) -> None:
        super().__init__((service.name, service) for service in services)
        self._workspace = workspace

    def answer(self) -> bool:
        """Whether all of them do now."""
        return all(map(_answers, self.values()))

    def wait(self, *names: str, timeout_s: float = 60) -> None:
        """Wait for those named, or for all. Raises ServiceError."""
        for name in names or tuple(self):
            wait_ready(self._workspace, self[name], timeout_s)


def start(workspace: Path, name: str) -> Service:
    """Start one service, detached and recorded in var/services.json. Doesn't wait until it answers."""
    with records.locked(workspace):
        return _start(workspace, name).service


def wait_ready(workspace: Path, service: Service, timeout_s: float = 60) -> None:
    """Return once the service answers. Raises ServiceError with the last line of its log."""
    deadline = time.monotonic() + timeout_s
    while not _answers(service):
        if not processes.exists(service.pid):
            raise _not_ready(workspace, service, "ended before it answered")
        if time.monotonic() > deadline:
            raise _not_ready(workspace, service, f"did not answer within {timeout_s:g} s")
        time.sleep(0.05)


def up(workspace: Path, names: Iterable[str]) -> list[Service]:
    """Have these services run and answer; those that already do are kept. Raises ServiceError."""
    names = tuple(names)
    with records.locked(workspace):
        _refuse_second_database(workspace, names)
        services = [_reuse_or_start(workspace, name, owner=0).service for name in names]
    for service in services:
        wait_ready(workspace, service, timeout_s=120)  # the first start makes the databases
    return services


def down(workspace: Path) -> list[Service]:
    """Stop every service with its children, save those private to a run that is still alive."""
    with records.locked(workspace):
        known = records.read(workspace)
        mine = [record for record in known if not record.owner or _is_orphan(record)]
        stopped = [record.service for record in mine if processes.members(record.process)]
        processes.stop(record.process for record in mine)
        records.write(workspace, [record for record in known if record not in mine])
    return stopped


def running(workspace: Path) -> list[Service]:
    """The services of this workspace that are alive, ours, and answer."""
    return [record.service for record in records.read(workspace) if _is_live(record)]


@contextmanager
def for_run(workspace: Path, names: Iterable[str]) -> Iterator[Services]:
    """Services for the length of a run: the missing ones are started at once and stopped at the end.

    Call `.wait()` on what is yielded before use. Enter it in a thread that outlives the run: on Linux
    the services started here die with that thread, whatever ends it.
    """
    names = tuple(names)
    started: list[Record] = []
    try:
        with records.locked(workspace):
            _refuse_second_database(workspace, names)
            found = [_reuse_or_start(workspace, name, os.getpid(), started) for name in names]
        yield Services(workspace, (record.service for record in found))
    finally:
        processes.stop(record.process for record in started)
        if started:
            with records.locked(workspace):
                records.write(workspace, [record for record in records.read(workspace) if record not in started])


def _refuse_second_database(workspace: Path, names: Iterable[str]) -> None:
    """Two Prefect servers on one SQLite file lose records: wait for the run that has the first."""
    for record in records.read(workspace):
        private = record.name == "prefect" and record.owner and not _is_orphan(record)
        if private and record.name in names and processes.members(record.process):
            raise ServiceError(
                f"the run at work (process {record.owner}) has a Prefect of its own on this workspace's database",
                where=record.url,
                remedy="wait until it ends; `genloop up` before the next run is shared by both",
            )


def _reuse_or_start(workspace: Path, name: str, owner: int, started: list[Record] | None = None) -> Record:
    """A shared service that is alive, else a new one, which is added to `started`."""
    same = [r for r in records.read(workspace) if r.name == name and (not r.owner or _is_orphan(r))]
    for record in (r for r in same if not r.owner):
        if _is_live(record) or (processes.members(record.process) and _becomes_ready(workspace, record)):
            return record
    processes.stop(record.process for record in same)
    records.write(workspace, [record for record in records.read(workspace) if record not in same])
    record = _start(workspace, name, owner)
    if started is not None:
        started.append(record)
    return record


def _becomes_ready(workspace: Path, record: Record) -> bool:
    """Whether a process of ours that doesn't answer yet was only starting, or is stuck."""
    try:
        wait_ready(workspace, record.service, timeout_s=60)
    except ServiceError:
        return False
    return True


def _start(workspace: Path, name: str, owner: int = 0) -> Record:
    if name not in servers.PORTS:
        raise ServiceError(f"no service {name!r}", remedy=f"one of {', '.join(servers.PORTS)}")
    known = records.read(workspace)
    preferred = 0 if owner else servers.PORTS[name]  # only `up` is for people who know the number
    port = processes.free_port(preferred, reuse=name != "prefect")  # Prefect's own look at its port is as strict
    shared = {record.name: record.service for record in known if not record.owner}
    command, environment = servers.command(workspace, name, port), servers.environment(workspace, name, port, shared)
    log = workspace / "var" / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    process = processes.spawn(command, environment, log, private=bool(owner))
    record = Record(name, f"http://127.0.0.1:{port}", process.pid, process.mark, owner)
    try:
        records.write(workspace, [*known, record])
    except BaseException:
        processes.stop([process])
        raise
    return record


def _is_orphan(record: Record) -> bool:
    """Whether it was private to a run that is gone."""
    return bool(record.owner) and not processes.exists(record.owner)


def _is_live(record: Record) -> bool:
    return record.pid in processes.members(record.process) and _answers(record.service)


def _answers(service: Service) -> bool:
    """Whether it is the service itself that answers at its address."""
    return processes.listens(service.pid, service.port) and servers.answers(service)


def _not_ready(workspace: Path, service: Service, what: str) -> ServiceError:
    log = workspace / "var" / "logs" / f"{service.name}.log"
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    last = f"; its log ends with: {lines[-1]}" if lines else ""
    return ServiceError(f"{service.name} {what}{last}", where=service.url, remedy=f"see {log}, or `genloop doctor`")
