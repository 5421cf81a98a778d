"""The page of a run: how long what took, data, samples, curves, scorecard, batches, cost, and all that it goes by.

One file that opens without a server or a network; laid out in run.html, of the same parts as the page of a model.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.dataset.history import Version
from pipeline.evaluate.report import inlined, plots_of, templates
from pipeline.generate.card import facts
from pipeline.generate.release import Cost, Release
from pipeline.values import Decision, ModelVersion, Scorecard, Validation


class Step(NamedTuple):
    """A step of the run. seconds: in all; own: of these, the loop's and not the work's; core_s: of one core; ran:
    whether there was anything to do."""

    name: str
    seconds: float
    own: float
    core_s: float
    ran: bool


class Check(NamedTuple):
    """What validation held the dataset as a whole to."""

    check: str
    expected: str
    observed: str
    passed: bool


class Delivered(NamedTuple):
    """A batch. preview: PNG, or nothing; dropped: candidates by reason; fresh: made by this run."""

    release: Release
    preview: bytes
    dropped: Sequence[tuple[str, int]]
    fresh: bool


class Judged(NamedTuple):
    """A model and what was decided on it. champion: the scorecard that it was held against, of `before`."""

    model: ModelVersion
    card: Scorecard
    decision: Decision
    before: ModelVersion | None
    champion: Scorecard | None

    def against_others(self) -> Judged:
        """Without the champion where that is the model itself."""
        same = self.before is not None and self.before.bundle == self.model.bundle
        return self._replace(before=None, champion=None) if same else self


@dataclass(frozen=True)
class Run:
    """What there is to tell. curves: the text of curves.csv; pictures: PNG bytes by the names of the album; ids: all
    that it can be found by; params: the text of params.yaml."""

    id: str
    source: str
    at: str
    steps: Sequence[Step]
    version: Version
    validation: Validation
    checks: Sequence[Check]
    judged: Judged
    curves: str
    pictures: Mapping[str, bytes]
    batches: Sequence[Delivered]
    cost: Cost
    ids: Mapping[str, str]
    params: str

    @property
    def total_s(self) -> float:
        return sum(step.seconds for step in self.steps)


def run_page(run: Run) -> str:
    """HTML."""
    pages = templates(Path(__file__).parent)
    pages.filters["count"] = lambda value: "–" if value is None else f"{value:,}"
    pages.filters["time"] = duration
    pages.filters["inline"] = lambda data: base64.b64encode(data).decode()
    pages.filters["money"] = lambda value: f"{value:.2g}" if 0 < value < 0.01 else f"{value:,.2f}"
    return pages.get_template("run.html").render(
        title=f"Run of {run.at[:16].replace('T', ' ')} on {run.source}",
        run=run,
        model=run.judged.model,
        card=run.judged.card,
        decision=run.judged.decision,
        before=run.judged.before,
        champion=run.judged.champion,
        bars=_bars(run.steps),
        reasons=sorted(run.validation.reasons.items(), key=lambda pair: -pair[1]),
        pictures=inlined(run.pictures),
        plots=plots_of(run.curves),
        cards=[facts(one.release) for one in run.batches],
    )


def duration(seconds: float) -> str:
    """Such as 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _bars(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Of each step where its bar begins and how long it is, in percent of the whole: one follows on the other."""
    whole, begin, bars = sum(step.seconds for step in steps) or 1.0, 0.0, []
    for step in steps:
        bars.append(
            {"step": step, "begin": round(100 * begin / whole, 2), "long": round(100 * step.seconds / whole, 2)}
        )
        begin += step.seconds
    return bars
