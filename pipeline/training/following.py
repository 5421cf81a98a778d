"""How a training goes that other processes do, by what it writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from pipeline.training.step import TICK_S, Tick, read_history


@contextmanager
def followed(runs: Path, watch: Callable[[Tick], None]) -> Iterator[None]:
    """While inside, tell of the training that writes to a folder below `runs`."""
    done, begun = Event(), time.time()

    def look() -> None:
        while not done.wait(TICK_S):
            for path in runs.glob("*/history.json"):
                if path.stat().st_mtime >= begun and (ticks := read_history(path.parent)):
                    watch(ticks[-1])

    thread = Thread(target=look, daemon=True, name="followed")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
