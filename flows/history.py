"""runs/history: one receipt a run, written when it begins and again when it ends, also when it fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from flows.summary import Summary
from pipeline.files import write_json
from pipeline.ids import known_as
from pipeline.log import log
from pipeline.stages import mended
from pipeline.values import Value

HISTORY = Path("runs/history")
SHOWN = 10
WELL = ("promoted", "kept")


class RunRecord(Value):
    """One run. `kept`: it ended well and the champion stays. `running` with nothing at work: it was killed."""

    started_at: str
    source: str
    outcome: Literal["running", "promoted", "kept", "failed", "interrupted", "killed"] = "running"
    detail: str = ""
    seconds: float | None = None
    snapshot: str = ""


@contextmanager
def recorded(workspace: Path, source: str) -> Iterator[Callable[[Summary], None]]:
    """Keep a receipt of the run inside, whose name is the run's id; call what is yielded with its summary. Errors pass
    through."""
    began, start = datetime.now(UTC), time.perf_counter()
    path = workspace / HISTORY / f"{began:%Y%m%dT%H%M%S.%f}.json"
    run = RunRecord(started_at=began.isoformat(timespec="seconds"), source=source)

    def write(told: RunRecord) -> None:
        seconds = round(time.perf_counter() - start, 1)
        write_json(path, told.model_copy(update={"seconds": seconds}).model_dump())
        level = logging.INFO if told.outcome in WELL else logging.ERROR
        facts = {"run": path.stem, "snapshot": told.snapshot, "outcome": told.outcome, "detail": told.detail}
        log("run ended", level, seconds=seconds, **facts)

    write_json(path, run.model_dump())
    try:
        with known_as(run=path.stem):
            log("run began", source=source)
            yield lambda summary: write(_done(run, summary))
    except BaseException as error:
        write(_failed(run, error))
        raise


def last_runs(workspace: Path, at_work: bool, count: int = SHOWN) -> list[RunRecord]:
    """The newest first. One that never wrote its end is `killed`, unless it is the newest and a run is at work."""
    runs: list[RunRecord] = []
    for path in sorted((workspace / HISTORY).glob("[0-9]*.json"), reverse=True)[:count]:
        try:
            run = RunRecord.model_validate_json(path.read_text())
        except (OSError, ValidationError):
            continue
        if run.outcome == "running" and (runs or not at_work):
            run = run.model_copy(update={"outcome": "killed", "detail": "ended without a word"})
        runs.append(run)
    return runs


def _done(run: RunRecord, summary: Summary) -> RunRecord:
    model = summary.model
    facts = {
        "outcome": "promoted" if model.promoted else "kept",
        "detail": f"{model.name} v{model.version}: {model.decision}",
        "snapshot": summary.snapshot.id,
    }
    return run.model_copy(update=facts)


def _failed(run: RunRecord, error: BaseException) -> RunRecord:
    if isinstance(error, KeyboardInterrupt):
        return run.model_copy(update={"outcome": "interrupted", "detail": "from the keyboard"})
    known = mended(error)
    detail = f"{known.where}: {known.what}".removeprefix(": ") if known else f"{type(error).__name__}: {error}"
    return run.model_copy(update={"outcome": "failed", "detail": " ".join(detail.split())})
