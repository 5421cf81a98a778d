"""`genloop review`, `genloop feedback …`, `genloop reviewer …`: what people say, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_tools import Json, prepare, read_params, show, stdout_for_json
from pipeline.errors import ParamsError

if TYPE_CHECKING:
    from flows.feedback import Told
    from pipeline.adapters.ratings import Ratings

feedback = typer.Typer(no_args_is_help=True, help="What people say of items, and what is made of it.")
reviewer = typer.Typer(no_args_is_help=True, help="Who may review.")
SHOWN = 20


def review(
    batch: Annotated[str, typer.Option(help="Begin with this batch; the page names all of them.")] = "",
    host: Annotated[
        str, typer.Option(help="Where to listen; elsewhere than on this machine reviewers need tokens.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the page.")] = 8080,
    proxy: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="A proxy's addresses, whose header tells who is asking."),
    ] = None,
    header: Annotated[
        str, typer.Option(help="That header; the proxy has to take it off what others send.")
    ] = "X-Forwarded-User",
    https: Annotated[bool, typer.Option("--https", help="A server in front speaks HTTPS.")] = False,
    certificate: Annotated[Path | None, typer.Option(help="PEM, to speak HTTPS here; with --key.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM, of the certificate.")] = None,
) -> None:
    """Serve the page on which people judge items, until it is stopped."""
    root = prepare()
    params = read_params(root, None, None)
    if bool(certificate) != bool(key):
        raise ParamsError("--certificate and --key go together", remedy="give both")
    from flows.reviewing import Wanted, serve_review

    serve_review(root, params, Wanted(batch, host, port, tuple(proxy or ()), header, https, certificate, key))


@feedback.command()
def run(as_json: Json = False) -> None:
    """Take in what is new, learn from it, and decide: adapt, ask for reviews, retrain, or wait."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        params = read_params(root, None, None)
        from flows.rounds import feedback_round

        told = feedback_round(root, params)
        if as_json:
            write(told.model_dump_json(indent=1))
        else:
            show(_render(told))


@feedback.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="A file or URI: CSV, JSON lines, Parquet, or an export of Label Studio.")],
    as_json: Json = False,
) -> None:
    """Take outcomes or verdicts in. The same file again changes nothing; rows that are not what they should be are
    kept apart, with the reason."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        from flows.reviewing import import_file

        with _ratings(root) as ratings:
            told = import_file(ratings, file)
            bad = ratings.refused(told["file"])[:SHOWN] if told["refused"] else []
        if as_json:
            write(json.dumps({**told, "refusals": [one.model_dump() for one in bad]}, indent=1, ensure_ascii=False))
        else:
            write(
                f"{told['new']:,} new, {told['changed']:,} changed, {told['same']:,} known, {told['refused']:,} refused"
            )
            for one in bad:
                write(f"  {one.file} {one.place if one.place >= 0 else ''}: {one.reason}")


@feedback.command()
def log(count: Annotated[int, typer.Option(min=1, help="The last ones.")] = SHOWN, as_json: Json = False) -> None:
    """What was decided, why, and whether ratings rose."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        with _ratings(root) as ratings:
            told = ratings.decisions()[:count]
        if as_json:
            write(json.dumps(told, indent=1, ensure_ascii=False))
        elif told:
            show(_render_log(told))
        else:
            write("nothing was decided yet: `genloop feedback run`")


@reviewer.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Of the reviewer.")],
    expert: Annotated[bool, typer.Option("--expert", help="May have items withdrawn.")] = False,
    as_json: Json = False,
) -> None:
    """Give somebody a token, shown this once; one of that name gets a new one."""
    from pydantic import ValidationError

    from pipeline.reviews import Reviewer

    with stdout_for_json(as_json) as write:
        root = prepare()
        try:
            who = Reviewer(name=name, role="expert" if expert else "reviewer")
        except ValidationError:
            raise ParamsError("is no name", where=name[:80], remedy="letters, digits, . _ and -, at most 64") from None
        with _ratings(root) as ratings:
            token = ratings.add_reviewer(who)
        write(json.dumps({**who.model_dump(), "token": token}) if as_json else f"{who.name}, {who.role}: {token}")


@reviewer.command("list")
def list_(as_json: Json = False) -> None:
    """Those who may review."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        with _ratings(root) as ratings:
            found = ratings.reviewers()
        if as_json:
            write(json.dumps([one.model_dump() for one in found], indent=1))
        else:
            write("\n".join(f"{one.name:<20} {one.role}" for one in found) or "nobody has a token")


@reviewer.command()
def remove(name: Annotated[str, typer.Argument(help="Of the reviewer.")]) -> None:
    """Let somebody in no more; what they said stays."""
    root = prepare()
    with _ratings(root) as ratings:
        ratings.remove_reviewer(name)
    print(f"{name} is let in no more")


@contextmanager
def _ratings(root: Path) -> Iterator[Ratings]:
    from flows import wiring

    with wiring.ratings(root) as ratings:
        yield ratings


def _render(told: Told) -> Any:
    from rich.table import Table

    facts, table = told.facts, Table.grid(padding=(0, 2))
    table.add_row("decision", f"[b]{told.step.action}[/b]")
    for reason in told.step.reasons:
        table.add_row("", reason.text)
    for name, rate in (("accepted", facts.accepted), *((f"  {arm}", of) for arm, of in facts.by_arm.items())):
        if rate.share is not None:
            table.add_row(name, f"{rate.share:.1%} of {rate.judged:,} ({rate.low:.1%} to {rate.high:.1%})")
    if told.scorecard:
        shown = ", ".join(f"{name} {value:.3f}" for name, value in told.scorecard.items())
        table.add_row(f"preference v{told.preference}", shown)
    if told.uplift:
        by, low, high = (told.uplift[name] for name in ("difference", "low", "high"))
        table.add_row("uplift", f"{by:+.1%} ({low:+.1%} to {high:+.1%}) by preference, of items shown at random")
    if told.canary:
        table.add_row("champions", told.canary["reason"])
    if facts.item_cost:
        table.add_row("an accepted item", f"costs {facts.item_cost.money:.4g}")
    return table


def _render_log(told: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("", "when", "decided", "why", "accepted", "since"):
        table.add_column(heading)
    for one in told:
        outcome, before = one["outcome"], one["inputs"].get("accepted", {}).get("share")
        after = (outcome or {}).get("after", {}).get("share")
        rose = {True: "rose", False: "fell", None: "no difference shown"}[outcome["rose"]] if outcome else ""
        table.add_row(
            str(one["id"]),
            one["at"],
            one["decision"]["action"],
            "; ".join(reason["text"] for reason in one["decision"]["reasons"]),
            "" if before is None else f"{before:.1%}",
            "" if after is None else f"{after:.1%} {rose}",
        )
    return table
