"""Of runs: how many came to what, when the last one ended well, what it took, and whether one is at work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

from prometheus_client.core import Metric

from flows.cli_tools import is_locked
from flows.history import HISTORY, WELL, RunRecord
from flows.metrics.families import counters, gauge, gauges
from flows.metrics.files import Files
from flows.status import LAST
from flows.summary import Summary

OUTCOMES = [name for name in get_args(RunRecord.model_fields["outcome"].annotation) if name != "running"]


class Runs:
    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._records, self._last = Files(RunRecord.model_validate), Files(Summary.model_validate)

    def __call__(self) -> Iterator[Metric]:
        records = [record for _, record in self._records.all(self._workspace / HISTORY, "[0-9]*.json")]
        at_work = bool(records) and records[-1].outcome == "running" and is_locked(self._workspace)
        ended = records[:-1] if at_work else records
        outcomes = Counter("killed" if record.outcome == "running" else record.outcome for record in ended)
        told = "Runs of the loop that ended, by what they came to."
        yield from counters("runs", told, ("outcome",), {name: float(outcomes[name]) for name in OUTCOMES})
        yield from gauge("run_in_progress", "Whether a run of the loop is at work in the workspace.", at_work)
        well = [_end(record) for record in ended if record.outcome in WELL]
        told = "When the last run that ended well did, in Unix time."
        yield from gauge("run_last_success_timestamp_seconds", told, max(well, default=None))
        took = [record.seconds for record in ended if record.seconds is not None]
        yield from gauge("run_duration_seconds", "How long the last run took.", took[-1] if took else None)
        if last := self._last.read(self._workspace / LAST):
            yield from _last(last)


def _last(last: Summary) -> Iterator[Metric]:
    """Of the last run that ended well."""
    steps = {name: seconds for name, seconds in last.seconds.items() if name != "total"}
    yield from gauges("run_step_seconds", "How long each step of the last run took.", ("step",), steps)
    if last.cost:
        told = "Seconds of one core that each step of the last run took."
        yield from gauges("run_step_core_seconds", told, ("step",), last.cost.seconds)
        told, cost = "What the last run cost, by `costs` in params.yaml.", {last.cost.currency: last.cost.money}
        yield from gauges("run_cost", told, ("currency",), cost)


def _end(record: RunRecord) -> float:
    return (datetime.fromisoformat(record.started_at) + timedelta(seconds=record.seconds or 0)).timestamp()
