"""What a run came to: one typed value, as JSON and as a page a person enjoys reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.evaluate.directions import DIRECTIONS
from pipeline.generate.card import in_a_cell
from pipeline.generate.release import Cost
from pipeline.values import Batch, Decision, ModelVersion, Scorecard, Value


class SnapshotSummary(Value):
    id: str
    items: int
    rejected: int


class ModelSummary(Value):
    name: str
    version: int
    alias: str
    scorecard: dict[str, float]
    floor: dict[str, float] = {}
    champion_version: int | None = None
    champion: dict[str, float] = {}
    decision: str = ""
    promoted: bool = False
    awaits: bool = False


class BatchSummary(Value):
    order: str
    id: str
    uri: str
    items: int


class Summary(Value):
    """report: the model's page; page: the run's."""

    run: str = ""
    snapshot: SnapshotSummary
    model: ModelSummary
    batches: tuple[BatchSummary, ...]
    seconds: dict[str, float]
    own: dict[str, float] = {}  # of `seconds`: what is the loop's, not the work's
    up_to_date: list[str]
    picture: str
    report: str = ""
    page: str = ""
    cost: Cost | None = None
    finished_at: str

    def with_start(self, start_s: float, total_s: float) -> Summary:
        """The same with the time before the flow, and between its steps, counted in."""
        start, total = round(start_s, 2), round(total_s, 2)
        rest = round(max(0.0, total - start - sum(self.seconds.values())), 2)
        seconds = {"start": start, **self.seconds, "total": total}
        return self.model_copy(update={"seconds": seconds, "own": {"start": start, **self.own, "rest": rest}})


def summarise_model(
    model: ModelVersion, card: Scorecard, decision: Decision, champion: ModelVersion | None, best: Scorecard | None
) -> ModelSummary:
    return ModelSummary(
        name=model.name,
        version=model.version,
        alias=model.alias,
        scorecard=card.metrics,
        floor=card.floor,
        champion_version=champion.version if champion else None,
        champion=best.metrics if best else {},
        decision=decision.reason,
        promoted=decision.promoted,
        awaits=decision.awaits,
    )


def summarise_batch(batch: Batch) -> BatchSummary:
    return BatchSummary(order=batch.order, id=batch.id, uri=batch.uri, items=batch.items)


def add_batches(table: Any, batches: Sequence[BatchSummary], none: str) -> None:
    """A row for each."""
    for batch in batches:
        table.add_row(f"batch {batch.order}", f"[b]{batch.uri}[/b]  {batch.items:,} items")
    if not batches:
        table.add_row("batch", none)


def in_markdown(summary: Summary) -> str:
    """What Prefect shows; names that came from outside are without Markdown's own signs."""
    model, cost = summary.model, summary.cost
    batches = ", ".join(f"{batch.order} {batch.uri}, {batch.items:,} items" for batch in summary.batches)
    rows = {
        "dataset": f"{summary.snapshot.id}, {summary.snapshot.items:,} items, {summary.snapshot.rejected:,} rejected",
        "model": f"{model.name} v{model.version}, {model.alias}: {model.decision}",
        "batches": batches or "none",
        "time": f"{sum(summary.seconds.values()):.0f} s",
        "cost": f"{_money(cost)}, {cost.total_s / 3600:.3g} core hours" if cost else "not known",
        "page": summary.page,
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {in_a_cell(value)} |" for name, value in rows.items())])


def _money(cost: Cost) -> str:
    return f"{cost.money:.3g} {cost.currency}"


def render(summary: Summary) -> Any:
    """A rich renderable."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table

    facts = Table.grid(padding=(0, 2))
    facts.add_column()
    facts.add_column(overflow="fold")  # a path is to be copied, and not cut short
    snapshot, model = summary.snapshot, summary.model
    facts.add_row("dataset", f"[b]{snapshot.id}[/b]  {snapshot.items:,} items, {snapshot.rejected:,} rejected")
    facts.add_row("model", f"[b]{model.name} v{model.version}[/b]  {model.alias}  ({model.decision})")
    add_batches(facts, summary.batches, "none: no champion yet, or no order in params.yaml")
    facts.add_row("picture", summary.picture)
    facts.add_row("report", summary.page or summary.report)
    total = summary.seconds.get("total", 0)
    spent = ", ".join(
        f"{name} {value:.0f} s" for name, value in summary.seconds.items() if value >= 0.5 and name != "total"
    )
    facts.add_row("time", f"[b]{total:.0f} s[/b]  {spent}")
    own = ", ".join(f"{name} {value:.1f} s" for name, value in summary.own.items() if value >= 0.5)
    facts.add_row("loop's own", f"[b]{sum(summary.own.values()):.0f} s[/b]  {own}")
    if summary.cost:
        facts.add_row("cost", f"[b]{_money(summary.cost)}[/b]  {summary.cost.total_s / 3600:.3g} core hours")
    if summary.up_to_date:
        facts.add_row("up to date", ", ".join(summary.up_to_date))
    return Panel(Group(facts, "", _scores(model)), title="genloop", expand=False, border_style="green")


def _scores(model: ModelSummary) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    headings = ["metric", "better", f"v{model.version}", "real against real"]
    if model.champion and model.champion_version != model.version:
        headings.insert(3, f"champion v{model.champion_version}")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("metric", "better") else "right")
    for name, value in model.scorecard.items():
        cells = [name, DIRECTIONS.get(name, ""), f"{value:.4g}"]
        if len(headings) == 5:
            cells.append(f"{model.champion[name]:.4g}" if name in model.champion else "–")
        table.add_row(*cells, f"{model.floor[name]:.4g}" if name in model.floor else "–")
    return table
