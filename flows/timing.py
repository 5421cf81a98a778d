"""Where a run's time went: by step, and how much of it is the loop's own and not the work's."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipeline.files import write_json
from pipeline.stages import RECEIPTS

ALL_WORK = ("rescore", "push")  # steps in which the loop has nothing of its own


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Enter the seconds that the work inside took, once it has succeeded."""
    start = time.perf_counter()
    yield
    seconds[step] = round(time.perf_counter() - start, 2)


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
    work = {step: _work(workspace, step) for step in seconds if fresh.get(step, True)}
    work |= {step: seconds[step] for step in ALL_WORK if step in seconds}
    return {step: round(max(0.0, spent - work.get(step, 0.0)), 2) for step, spent in seconds.items()}


def _work(workspace: Path, step: str) -> float:
    receipt = workspace / RECEIPTS / f"{step}.json"
    return float(json.loads(receipt.read_text()).get("work_s", 0)) if receipt.exists() else 0.0
