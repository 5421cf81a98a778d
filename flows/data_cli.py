"""`genloop data`: what a data team does in a day."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_tools import Json, only_run, prepare, read_params, show, stdout_for_json
from pipeline.errors import ParamsError

data = typer.Typer(no_args_is_help=True, help="Update, correct, compare and restore the dataset.")
Why = Annotated[str, typer.Option(help="Kept with the version.")]
PAGES = Path("runs/pages")


@data.command()
def update(
    source: Annotated[
        list[str] | None,
        typer.Option(help="A source of params.yaml by its name; or a URI, to take the place of collect.source."),
    ] = None,
    why: Why = "update",
    as_json: Json = False,
) -> None:
    """Collect what is new, validate it, and record a version. What is unchanged is not read again."""
    with stdout_for_json(as_json) as write:
        uris = {name: name if "://" in name else os.path.abspath(name) for name in source or []}
        root = prepare()
        params, only = _chosen(root, uris)
        from flows import dataset

        with only_run(root):
            version = dataset.update(root, params, why, only)
            _tell(root, params, version, as_json, write)


@data.command()
def label(
    file: Annotated[Path, typer.Argument(help="CSV with columns sha256 and label.")],
    why: Why = "corrected labels",
    as_json: Json = False,
) -> None:
    """Give items other labels, by their hash; they keep them through later updates."""
    with stdout_for_json(as_json) as write:
        file = Path(os.path.abspath(file))
        root = prepare()
        params = read_params(root, None, None)
        from flows import dataset

        with only_run(root):
            _tell(root, params, dataset.label(root, params, file, why), as_json, write)


@data.command()
def quarantine(
    reason: Annotated[str, typer.Option(help="Only items whose reason begins so.")] = "",
    accept: Annotated[
        list[str] | None, typer.Option(help="The hash of a rejected item to take in all the same.")
    ] = None,
    html: Annotated[bool, typer.Option("--html", help="A page with pictures; prints where it is.")] = False,
    why: Why = "accepted from quarantine",
    as_json: Json = False,
) -> None:
    """List what was rejected, by reason; or accept some of it."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        from flows import dataset

        if accept:
            params = read_params(root, None, None)
            with only_run(root):
                _tell(root, params, dataset.accept(root, params, accept, why), as_json, write)
            return
        rows = dataset.quarantined(root, reason)
        if html:
            write(str(_written(root, "quarantine.html", _quarantine_page(rows))))
        elif as_json:
            told = [{"sha256": i.sha256, "path": i.path, "label": i.label, "reason": why} for why, i in rows]
            write(json.dumps(told, indent=1, ensure_ascii=False))
        else:
            _show_quarantine(rows)


@data.command()
def log(as_json: Json = False) -> None:
    """The versions: when, who, why, and what changed."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        from pipeline.dataset.history import tags, versions

        found, names = versions(root), tags(root)
        if as_json:
            told = [v.model_dump(mode="json") | {"tags": [n for n, i in names.items() if i == v.number]} for v in found]
            write(json.dumps(told, indent=1, ensure_ascii=False))
        elif found:
            _show_log(found, names)
        else:
            print("No version yet: `genloop data update` makes the first.")


@data.command()
def diff(
    before: Annotated[str, typer.Argument(help="A version: number, tag, id or latest.")],
    after: Annotated[str, typer.Argument(help="Another one.")] = "latest",
    html: Annotated[bool, typer.Option("--html", help="A page with pictures; prints where it is.")] = False,
    as_json: Json = False,
) -> None:
    """What was added, removed and relabelled between two versions."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        from flows import dataset

        one, other, found = dataset.diff(root, before, after)
        if html:
            from pipeline.dataset.page import difference_page

            write(str(_written(root, f"diff-{one.number}-{other.number}.html", difference_page(one, other, found))))
        elif as_json:
            write(json.dumps(_difference(one, other, found), indent=1, ensure_ascii=False))
        else:
            _show_difference(one, other, found)


@data.command("show")
def show_item(
    sha256: Annotated[str, typer.Argument(help="An item's hash, or its first digits.")], as_json: Json = False
) -> None:
    """One item: what it is, where it came from, by which right, and the versions it is in."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        from flows import dataset

        found = dataset.item(root, sha256)
        if as_json:
            write(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            for name, value in found.items():
                print(f"{name:<12} {value}")


@data.command()
def tag(
    name: Annotated[str, typer.Argument(help="A word.")],
    version: Annotated[str, typer.Argument(help="Number, tag, id or latest.")] = "latest",
    as_json: Json = False,
) -> None:
    """Name a version."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        from pipeline.dataset import history

        found = history.version_of(root, version)
        history.tag(root, name, found)
        write(json.dumps({name: found.number}) if as_json else f"version {found.number} is {name}")


@data.command()
def restore(version: Annotated[str, typer.Argument(help="Number, tag, id or latest.")], as_json: Json = False) -> None:
    """Bring a version back; it becomes the newest one."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        params = read_params(root, None, None)
        from flows import dataset

        with only_run(root):
            _tell(root, params, dataset.restore(root, params, version), as_json, write)


@data.command()
def push(as_json: Json = False) -> None:
    """Send every version to DVC's remote, from where a clone gets it back."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        from flows import dataset

        sent = dataset.push(root)
        write(json.dumps({"sent": sent}) if as_json else f"{sent:,} files sent")


def _chosen(root: Path, sources: dict[str, str]) -> tuple[Any, list[str]]:
    """Params, and the names of the sources to look at; a URI is written into params.yaml. sources: as given, and as
    URIs from where the command was given."""
    params = read_params(root, None, None)
    names = {source.name for source in params.collect.sources}
    unknown = [source for source in sources if source not in names]
    if not unknown:
        return params, list(sources)
    if names:
        remedy = f"it names {', '.join(sorted(names))}; add the URI there"
        raise ParamsError(f"params.yaml names no source {unknown[0]}", where="collect.sources", remedy=remedy)
    if len(sources) > 1:
        raise ParamsError(
            "more than one URI", where="--source", remedy="name them in params.yaml under collect.sources"
        )
    return read_params(root, sources[unknown[0]], None), []


def _tell(root: Path, params: Any, version: Any, as_json: bool, write: Any) -> None:
    from flows import dataset
    from pipeline.dataset.history import versions

    last = version or versions(root)[-1]
    if as_json:
        told = last.model_dump(mode="json") | {
            "changed": version is not None,
            "unchanged": _unchanged(last) if version else last.items,
            "warnings": dataset.warnings(params, last) if version else [],
        }
        write(json.dumps(told, indent=1, ensure_ascii=False))
        return
    if version is None:
        print(f"Nothing changed: version {last.number}, {last.items:,} items.")
        return
    _show_version(version, dataset.warnings(params, version))


def _unchanged(version: Any) -> int | None:
    return None if version.added is None else version.items - version.added


def _count(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def _show_version(version: Any, warnings: list[str]) -> None:
    from rich.panel import Panel
    from rich.table import Table

    facts = Table.grid(padding=(0, 2))
    changes = {"added": version.added, "removed": version.removed, "relabelled": version.relabelled}
    facts.add_row("items", f"[b]{version.items:,}[/b]")
    for name, count in {**changes, "unchanged": _unchanged(version)}.items():
        facts.add_row(name, _count(count))
    facts.add_row("rejected", f"{version.rejected:,}")
    for reason, count in sorted(version.reasons.items(), key=lambda pair: -pair[1]):
        facts.add_row("", f"{count:,}  {reason}")
    for warning in warnings:
        facts.add_row("[yellow]warning[/]", f"[yellow]{warning}[/]")
    show(Panel(facts, title=f"version {version.number}  {version.id}", expand=False, border_style="green"))


def _show_log(versions: list[Any], names: dict[str, int]) -> None:
    from rich.markup import escape
    from rich.table import Table

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
            f"{f'[b]{escape(tags)}[/b]: ' if tags else ''}{escape(version.why)} ({escape(version.by)})",
        )
    show(table)


def _difference(one: Any, other: Any, found: Any) -> dict[str, Any]:
    keep = ("sha256", "label", "split", "source", "path", "was")
    kinds = {n: [{k: getattr(i, k) for k in keep} for i in items] for n, items in found.kinds.items()}
    return {"before": one.number, "after": other.number, "counts": found.counts, "labels": found.labels} | kinds


def _show_difference(one: Any, other: Any, found: Any, most: int = 20) -> None:
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

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


def _by_kind(rows: list[tuple[str, Any]]) -> dict[str, list[Any]]:
    from pipeline.validate.items import kind

    found: dict[str, list[Any]] = {}
    for why, item in rows:
        found.setdefault(kind(why), []).append(item)
    return dict(sorted(found.items(), key=lambda pair: -len(pair[1])))


def _quarantine_page(rows: list[tuple[str, Any]]) -> str:
    from pipeline.dataset.page import quarantine_page

    return quarantine_page(_by_kind(rows))


def _show_quarantine(rows: list[tuple[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        print("Nothing is in quarantine.")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("reason", "items", "for example"):
        table.add_column(heading, justify="right" if heading == "items" else "left")
    for reason, items in _by_kind(rows).items():
        table.add_row(escape(reason), f"{len(items):,}", f"{items[0].sha256[:12]}  {escape(items[0].path)}")
    show(table)


def _written(root: Path, name: str, text: str) -> Path:
    from pipeline.files import write_text

    path = root / PAGES / name
    write_text(path, text)
    return path
