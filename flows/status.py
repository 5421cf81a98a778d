"""`genloop status`: dataset version, champion, last batch and last runs."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from flows.history import RunRecord, last_runs
from flows.summary import BatchSummary, ModelSummary, SnapshotSummary, Summary, add_batches
from pipeline.values import Value

LAST = Path("runs/last.json")
HEADLINE = ("fd", "nfd", "precision", "recall", "coverage", "tstr")
COLOURS = {"promoted": "green", "kept": "cyan", "running": "blue"}


class Status(Value):
    """`model` is the champion; where there is none, the last run's challenger."""

    snapshot: SnapshotSummary | None
    model: ModelSummary | None
    batches: tuple[BatchSummary, ...]
    runs: tuple[RunRecord, ...]


def read_status(workspace: Path, at_work: bool) -> Status:
    last = workspace / LAST
    summary = Summary.model_validate_json(last.read_text()) if last.exists() else None
    return Status(
        snapshot=summary.snapshot if summary else None,
        model=_champion(workspace, summary.model) if summary else None,
        batches=summary.batches if summary else (),
        runs=tuple(last_runs(workspace, at_work)),
    )


def _champion(workspace: Path, model: ModelSummary) -> ModelSummary:
    """The champion as the registry has it; it is asked only where it may have changed since the last run."""
    from flows import wiring

    known = known_champion(model)
    if known and not wiring.registry_changed_since(workspace, workspace / LAST):
        return known
    registry = wiring.registry(workspace)
    found = registry.champion(model.name)
    if found is None:
        return model.model_copy(update={"alias": "challenger"})
    if known and known.version == found.version:
        return known
    card = registry.scorecard(found)
    return ModelSummary(
        name=found.name, version=found.version, alias="champion", scorecard=card.metrics, floor=card.floor
    )


def known_champion(model: ModelSummary) -> ModelSummary | None:
    """The champion of the last run's end, where that run has its numbers."""
    if model.alias == "champion":
        return model
    if model.champion_version is None or not model.champion:
        return None
    return ModelSummary(
        name=model.name, version=model.champion_version, alias="champion", scorecard=model.champion, floor=model.floor
    )


def render(status: Status) -> Any:
    """A rich renderable."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table

    facts = Table.grid(padding=(0, 2))
    snapshot, model = status.snapshot, status.model
    if snapshot:
        facts.add_row("dataset", f"[b]{snapshot.id}[/b]  {snapshot.items:,} items, {snapshot.rejected:,} rejected")
    if model:
        scores = ", ".join(f"{name} {model.scorecard[name]:.4g}" for name in HEADLINE if name in model.scorecard)
        facts.add_row(model.alias, f"[b]{model.name} v{model.version}[/b]  {scores}")
    add_batches(facts, status.batches, "none yet")
    return Panel(Group(facts, "", _runs(status.runs)), title="genloop", expand=False, border_style="green")


def _runs(runs: tuple[RunRecord, ...]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("last runs", "source", "took", "outcome", ""):
        justify: Literal["left", "right"] = "right" if heading == "took" else "left"
        table.add_column(heading, justify=justify, no_wrap=bool(heading))
    for run in runs:
        when = datetime.fromisoformat(run.started_at).astimezone()
        took = f"{run.seconds:.0f} s" if run.seconds is not None else "–"
        outcome = f"[{COLOURS.get(run.outcome, 'red')}]{run.outcome}[/]"
        table.add_row(f"{when:%Y-%m-%d %H:%M}", escape(run.source), took, outcome, escape(run.detail))
    return table
