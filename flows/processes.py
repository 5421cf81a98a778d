"""Processes of ours: spawned apart from the terminal, found again by a mark, stopped with their children.

A process is ours if a random mark of ours is in its environment: that holds for its children too,
and never for a stranger that was given a recycled process id.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.errors import ServiceError

GRACE_S = 5.0
_MARK = "GENLOOP_SERVICE_MARK"
_PR_SET_PDEATHSIG = 1
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Process:
    """A process that we started."""

    pid: int
    mark: str


def spawn(command: list[str], environment: dict[str, str], log: Path, private: bool) -> Process:
    """Start a command in a session of its own, in the folder above its log's. `private`: it dies with this thread."""
    mark = secrets.token_hex(16)
    with log.open("wb") as out:
        try:
            child = subprocess.Popen(
                command,
                env=environment | {_MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=log.parent.parent,
                start_new_session=True,
                preexec_fn=_die_with_parent() if private else None,
            )
        except OSError as error:
            raise ServiceError(f"{command[0]} can't be started: {error}", remedy="`genloop doctor`") from None
    _children[child.pid] = child
    return Process(child.pid, mark)


def exists(pid: int) -> bool:
    """Whether a process runs; a zombie doesn't."""
    if pid in _children and _children[pid].poll() is not None:
        return False
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.Error:
        return False


def members(process: Process) -> set[int]:
    """The living processes that carry its mark: itself and its children."""
    found = set()
    for other in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if other.environ().get(_MARK) == process.mark and exists(other.pid):
                found.add(other.pid)
    return found


def listens(pid: int, port: int) -> bool:
    """Whether this process or a child of it is who answers at the port: two that start at once may pick the same."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            places = one.net_connections("tcp")
            if any(place.status == psutil.CONN_LISTEN and place.laddr.port == port for place in places):
                return True
    return False


def stop(processes: Iterable[Process]) -> None:
    """Ask all with SIGTERM, give them 5 s together, then SIGKILL. Raises ServiceError if one lives on."""
    processes = list(processes)
    for number, grace in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        asked = _signal(processes, number)
        if not asked:
            return
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            # One that is ending has lost its mark already and is still there for a moment.
            if not any(map(exists, asked)) and not any(map(members, processes)):
                return
            time.sleep(0.05)
    left = sorted(pid for process in processes for pid in members(process))
    if left:
        raise ServiceError(f"processes {left} don't end", remedy="`kill -9` them")


def free_port(preferred: int = 0, reuse: bool = True) -> int:
    """The preferred one if it is free, else any. reuse: also one that connections just closed still linger on."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServiceError("no free port on 127.0.0.1")


def _die_with_parent() -> Callable[[], None] | None:
    """What a child does so that the kernel ends it with its parent (Linux only)."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _signal(processes: Iterable[Process], number: signal.Signals) -> set[int]:
    """Signal every living process of these, groups first; their ids."""
    asked: set[int] = set()
    for process in processes:
        alive = members(process)
        asked |= alive
        if process.pid in alive:
            _quietly(os.killpg, process.pid, number)
        for pid in alive - {process.pid}:
            _quietly(os.kill, pid, number)
    return asked


def _quietly(kill: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        kill(pid, number)
