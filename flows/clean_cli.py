"""Commands on what is kept: clean, hold."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_tools import Json, only_run, prepare, read_params, show, stdout_for_json
from pipeline.errors import ParamsError

if TYPE_CHECKING:
    from flows.clean import Cleaned

MOST_REASONS = 4


def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go; change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Take away what nothing needs and `retention` in params.yaml lets go."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        params = read_params(root, None, None)
        from flows import clean as cleaning

        if dry_run:
            found = cleaning.planned(root, params)
        else:
            with only_run(root):
                found = cleaning.clean(root, params, agree=_ask if sys.stdin.isatty() and not as_json else _nod)
        if as_json:
            write(json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False))
        else:
            _show(found)


def hold(
    what: Annotated[
        str | None,
        typer.Argument(help="A dataset version, NAME@ALIAS or NAME/VERSION of a model, or a batch; none lists holds."),
    ] = None,
    why: Annotated[str, typer.Option("--why", help="The reason, for the record.")] = "",
    until: Annotated[str, typer.Option(metavar="DATE", help="The last day of it, YYYY-MM-DD; else without end.")] = "",
    release: Annotated[bool, typer.Option("--release", help="End the holds of it.")] = False,
    as_json: Json = False,
) -> None:
    """Keep a dataset version, a model or a batch, and all that it needs, whatever the retention says."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        params = read_params(root, None, None)
        from flows import clean as cleaning

        if what is None:
            _list(root, as_json, write)
        elif release:
            kind, name = cleaning.let_go(root, params, what)
            told = {"kind": kind, "name": name, "released": True}
            write(json.dumps(told) if as_json else f"{kind} {name} is held no more")
        else:
            if not why.strip():
                raise ParamsError("--why is empty", remedy="say why, in a few words")
            held = cleaning.hold(root, params, what, why.strip(), until)
            end = f" until {held.until}" if held.until else ""
            write(held.model_dump_json(indent=1) if as_json else f"{held.kind} {held.name} is held{end}: {held.why}")


def _list(root: Path, as_json: bool, write: Any) -> None:
    from pipeline.dataset.holds import standing

    found = standing(root, datetime.now(UTC).date())
    if as_json:
        write(json.dumps([one.model_dump() for one in found], indent=1, ensure_ascii=False))
    elif not found:
        write("nothing is held")
    for one in found if not as_json else ():
        end = f", until {one.until}" if one.until else ""
        write(f"{one.kind} {one.name}: {one.why} ({one.by}, {one.at[:10]}{end})")


def _nod(would_go: Cleaned) -> None:
    """There is nobody to ask."""


def _ask(would_go: Cleaned) -> None:
    if would_go.things:
        _show(would_go)
        typer.confirm(f"Take {would_go.things:,} of these away for good?", abort=True)


def _show(found: Cleaned) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("", "goes" if found.dry_run else "gone", "bytes", "oldest", "stays", "bytes"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    table.add_column("because", overflow="fold")
    for kind, tally in found.kinds.items():
        reasons = [f"{count:,} {escape(why)}" for why, count in list(tally.why.items())[:MOST_REASONS]]
        more = [f"{len(tally.why) - MOST_REASONS} more reasons"] if len(tally.why) > MOST_REASONS else []
        goes = f"[b]{tally.goes:,}[/b]" if tally.goes else "–"
        sizes = [size(tally.bytes) if tally.goes else "", tally.oldest[:10]]
        table.add_row(kind, goes, *sizes, f"{tally.stays:,}", size(tally.stays_bytes), ", ".join([*reasons, *more]))
    show(table)
    verb = "would go; nothing was changed" if found.dry_run else "went"
    print(f"{found.things:,} things, {size(found.bytes)}, {verb}" if found.things else "There is nothing to take away.")


def size(count: int) -> str:
    """Of bytes, in powers of a thousand."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}" if unit != "B" else f"{count} B"
