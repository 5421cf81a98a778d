"""How long processors were at work for this process and those that it started."""

from __future__ import annotations

from contextlib import suppress


def core_seconds() -> float:
    """Of one core, so far: this process, its children, and theirs, also those that have ended and were waited for."""
    import psutil

    mine, total = psutil.Process(), 0.0
    for process in (mine, *mine.children(recursive=True)):
        with suppress(psutil.Error):
            told = process.cpu_times()
            total += told.user + told.system + told.children_user + told.children_system
    return total
