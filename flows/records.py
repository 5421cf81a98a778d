"""var/services.json: which services of a workspace were started, and for whom."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from flows.processes import Process
from pipeline.files import write_json


@dataclass(frozen=True)
class Service:
    """A local server. `url` has no path: Prefect's API is at `url + "/api"`."""

    name: str
    url: str
    pid: int

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@dataclass(frozen=True)
class Record:
    """A service in services.json; `owner` is the process of the run that it is private to, or 0."""

    name: str
    url: str
    pid: int
    mark: str
    owner: int = 0

    @property
    def service(self) -> Service:
        return Service(self.name, self.url, self.pid)

    @property
    def process(self) -> Process:
        return Process(self.pid, self.mark)


@contextmanager
def locked(workspace: Path) -> Iterator[None]:
    """One process at a time starts and stops services of a workspace."""
    path = workspace / "var" / "services.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read(workspace: Path) -> list[Record]:
    try:
        return [Record(**entry) for entry in json.loads((workspace / "var" / "services.json").read_text())]
    except (FileNotFoundError, ValueError, TypeError):
        return []


def write(workspace: Path, records: list[Record]) -> None:
    write_json(workspace / "var" / "services.json", [asdict(record) for record in records])
