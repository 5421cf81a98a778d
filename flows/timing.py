"""Where a run's time went: by step, how much of it is the loop's own and not the work's, and on how many cores."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipeline.cores import core_seconds
from pipeline.files import write_json
from pipeline.log import log
from pipeline.stages import RECEIPTS
from pipeline.trace import span

ALL_WORK = ("rescore", "push")  # steps in which the loop has nothing of its own


class Steps:
    """Of a run: the seconds that each took, and the seconds of one core, once it has succeeded."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.core_seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start, before = time.perf_counter(), core_seconds()
        log("step began", step=name)
        try:
            with span(name, step=name):
                yield
        except BaseException as error:
            seconds = round(time.perf_counter() - start, 2)
            log("step failed", logging.ERROR, step=name, seconds=seconds, error=f"{type(error).__name__}: {error}")
            raise
        self.seconds[name] = round(time.perf_counter() - start, 2)
        self.core_seconds[name] = round(max(0.0, core_seconds() - before), 2)
        log("step ended", step=name, seconds=self.seconds[name], core_seconds=self.core_seconds[name])


@contextmanager
def work_receipt(workspace: Path, step: str) -> Iterator[None]:
    """What the stages leave too, for a step that is none: the seconds of its work."""
    start = time.perf_counter()
    yield
    write_json(workspace / RECEIPTS / f"{step}.json", {"work_s": round(time.perf_counter() - start, 2)})


def forget_work(workspace: Path, step: str) -> None:
    """So that no receipt of an earlier run is taken for this one's."""
    (workspace / RECEIPTS / f"{step}.json").unlink(missing_ok=True)


def own(workspace: Path, seconds: Mapping[str, float], fresh: Mapping[str, bool]) -> dict[str, float]:
    """By step: all that is not the step's work on data, pixels, networks or bytes. `fresh`: the stages that ran."""
    work = {step: _told(workspace, step, "work_s") for step in seconds if fresh.get(step, True)}
    work |= {step: seconds[step] for step in ALL_WORK if step in seconds}
    return {step: round(max(0.0, spent - work.get(step, 0.0)), 2) for step, spent in seconds.items()}


def on_cores(workspace: Path, core_seconds: Mapping[str, float], fresh: Mapping[str, bool]) -> dict[str, float]:
    """By step, of one core: a stage that ran knows better, as it alone sees the processes that it had help from."""
    return {
        step: max(spent, _told(workspace, step, "core_s") if fresh.get(step) else 0.0)
        for step, spent in core_seconds.items()
    }


def _told(workspace: Path, step: str, name: str) -> float:
    receipt = workspace / RECEIPTS / f"{step}.json"
    return float(json.loads(receipt.read_text()).get(name, 0)) if receipt.exists() else 0.0
