"""Memory of a process and all below it."""

from __future__ import annotations

import threading

import psutil

LOOK_S = 0.02


class PeakMemory:
    """Largest memory together, shared pages counted once (PSS; Linux). beyond: of it, what is more than at first."""

    def __init__(self, pid: int, look_s: float = LOOK_S) -> None:
        self._look_s = look_s  # to look costs milliseconds a process
        self.bytes, self._process, self._ended = 0, psutil.Process(pid), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self.bytes = self._first = self._now()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def beyond(self) -> int:
        return self.bytes - self._first

    def _watch(self) -> None:
        while not self._ended.wait(self._look_s):
            self.bytes = max(self.bytes, self._now())

    def _now(self) -> int:
        try:
            return sum(map(_pss, (self._process, *self._process.children(recursive=True))))
        except psutil.Error:
            return 0


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, OSError):
        return 0
