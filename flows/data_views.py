"""What the commands of `genloop data` show on a terminal, and tell as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from flows.cli_tools import show
from pipeline.validate.items import kind

if TYPE_CHECKING:
    from pipeline.dataset.forget import Plan
    from pipeline.dataset.proof import Proof
    from pipeline.dataset.wanted import Wanted


def unchanged(version: Any) -> int | None:
    return None if version.added is None else version.items - version.added


def _count(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def show_version(version: Any, warnings: list[str]) -> None:
    facts = Table.grid(padding=(0, 2))
    changes = {"added": version.added, "removed": version.removed, "relabelled": version.relabelled}
    facts.add_row("items", f"[b]{version.items:,}[/b]")
    for name, count in {**changes, "unchanged": unchanged(version)}.items():
        facts.add_row(name, _count(count))
    facts.add_row("rejected", f"{version.rejected:,}")
    for reason, count in sorted(version.reasons.items(), key=lambda pair: -pair[1]):
        facts.add_row("", f"{count:,}  {reason}")
    facts.add_row("near-copies", f"{version.near_copies:,}")
    for kind_, count in version.profile.stripped.items():
        facts.add_row("taken out", f"{count:,}  {kind_}")
    for warning in warnings:
        facts.add_row("[yellow]warning[/]", f"[yellow]{warning}[/]")
    show(Panel(facts, title=f"version {version.number}  {version.id}", expand=False, border_style="green"))


def show_log(versions: list[Any], names: dict[str, int]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("version", "at"):
        table.add_column(heading, no_wrap=True)
    for heading in ("items", "+", "−", "~", "rejected"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for version in reversed(versions):
        tags = ", ".join(name for name, number in names.items() if number == version.number)
        counts = (version.items, version.added, version.removed, version.relabelled, version.rejected)
        table.add_row(
            str(version.number),
            version.at.replace("T", " ")[:16],
            *map(_count, counts),
            f"{f'[b]{escape(tags)}[/b]: ' if tags else ''}{escape(version.why)} ({escape(version.by)})"
            + (f", cleaned up {version.dropped[:10]}" if version.dropped else ""),
        )
    show(table)


def told_difference(one: Any, other: Any, found: Any) -> dict[str, Any]:
    keep = ("sha256", "label", "split", "source", "path", "was")
    kinds = {n: [{k: getattr(i, k) for k in keep} for i in items] for n, items in found.kinds.items()}
    return {"before": one.number, "after": other.number, "counts": found.counts, "labels": found.labels} | kinds


def show_difference(one: Any, other: Any, found: Any, most: int = 20) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "item", "label", "source", "path"):
        table.add_column(heading, no_wrap=heading != "path")
    for name, sign, colour in (("added", "+", "green"), ("removed", "−", "red"), ("relabelled", "~", "cyan")):
        items = found.kinds[name]
        for item in items[:most]:
            label = item.label or "–" if name != "relabelled" else f"{item.was or '–'} → {item.label or '–'}"
            cells = (item.sha256[:12], escape(label), escape(item.source), escape(item.path))
            table.add_row(f"[{colour}]{sign}[/]", *cells)
        if len(items) > most:
            table.add_row("", f"and {len(items) - most:,} more {name}")
    counts = ", ".join(f"{count:,} {name}" for name, count in found.counts.items())
    show(Group(f"version {one.number} to {other.number}: {counts}", table))


def by_kind(rows: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for why, item in rows:
        found.setdefault(kind(why), []).append(item)
    return dict(sorted(found.items(), key=lambda pair: -len(pair[1])))


def show_quarantine(rows: list[tuple[str, Any]]) -> None:
    if not rows:
        print("Nothing is in quarantine.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("reason", "items", "for example"):
        table.add_column(heading, justify="right" if heading == "items" else "left")
    for reason, items in by_kind(rows).items():
        table.add_row(escape(reason), f"{len(items):,}", f"{items[0].sha256[:12]}  {escape(items[0].path)}")
    show(table)


def told_plan(asked: Wanted, plan: Plan) -> dict[str, Any]:
    return {
        "items": asked.items,
        "versions": [version.number for version in plan.versions],
        "objects": plan.objects,
        "files": [str(path) for path in plan.files],
        "models": [f"{model.name} v{model.version}" for model in plan.models],
        "batches": [batch.uri for batch in plan.batches],
    }


def show_plan(asked: Wanted, plan: Plan) -> None:
    facts = told_plan(asked, plan)
    objects = {f"objects in {place}": oids for place, oids in plan.objects.items()}
    rows = {"versions": facts["versions"], **objects, **{name: facts[name] for name in ("files", "models", "batches")}}
    _show_facts(f"would forget {_items(asked.items)}; nothing was changed", rows, "yellow")


def show_proof(proof: Proof, fault: str) -> None:
    objects = {f"objects in {place}": oids for place, oids in proof.objects.items()}
    rows: dict[str, Any] = {
        "versions": [f"{v.number} ({_items(v.items)})" for v in proof.versions],
        **objects,
        "files": proof.files,
        "pictures": proof.pictures,
        "models": proof.models,
        "batches": proof.batches,
        "read back": [f"{c.looked_into:,} {c.what}" for c in proof.checked if c.looked_into],
        "proof": [f"proofs/{proof.id}.json"],
    }
    _show_facts(f"forgot {_items(proof.items)}", rows, "green")
    if proof.models:
        print("Models were trained on them: `genloop run` trains anew without.")
    if fault:
        print(f"What is left does not pass: {fault}")


def _items(count: int) -> str:
    return f"{count:,} item{'' if count == 1 else 's'}"


def _show_facts(title: str, rows: dict[str, Any], colour: str, most: int = 5) -> None:
    facts = Table.grid(padding=(0, 2))
    for name, values in rows.items():
        shown = [escape(str(value)) for value in values[:most]]
        more = [f"and {len(values) - most:,} more"] if len(values) > most else []
        facts.add_row(name, f"{len(values):,}" if name != "proof" else "", "\n".join([*shown, *more]))
    show(Panel(facts, title=title, expand=False, border_style=colour))
