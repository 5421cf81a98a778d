"""`genloop`: the command line."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows import batch_cli, clean_cli
from flows.cli_tools import Json, is_locked, known_workspace, prepare, read_params, show, stdout_for_json
from flows.data_cli import data
from flows.feedback_cli import feedback, review, reviewer

if TYPE_CHECKING:
    from flows.services import Services

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(data, name="data")
app.add_typer(feedback, name="feedback")
app.add_typer(reviewer, name="reviewer")
for command in (
    batch_cli.verify,
    batch_cli.lineage,
    batch_cli.regenerate,
    batch_cli.withdraw,
    batch_cli.promote,
    clean_cli.clean,
    clean_cli.hold,
    review,
):
    app.command()(command)
Settings = Annotated[list[str] | None, typer.Option("-S", metavar="SECTION.KEY=VALUE", help="Override params.yaml.")]


@app.callback()
def genloop() -> None:
    """Turn images into a steadily better supply of new, checked content."""


@app.command()
def run(
    source: Annotated[
        str | None, typer.Option(help="Folder, archive, Parquet, s3://, http(s):// or sample://digits.")
    ] = None,
    setting: Settings = None,
    listen: Annotated[
        bool, typer.Option("--listen", help="Have the training hear all feedback so far, as train.feedback says.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the whole loop: collect, validate, preprocess, train, evaluate, promote, generate."""
    start = time.perf_counter()
    if source is not None and "://" not in source:
        source = os.path.abspath(source)
    with stdout_for_json(as_json) as write:
        root = prepare()
        params = read_params(root, source, setting)
        from flows.running import looped

        summary = looped(root, params, start, _while_services_start, listen)
        if as_json:
            write(summary.model_dump_json(indent=1))
        else:
            from flows.summary import render

            show(render(summary))


@app.command()
def generate(
    order: Annotated[
        str | None, typer.Argument(help="A name under `batches` in params.yaml; the first, if left out.")
    ] = None,
    due: Annotated[
        bool, typer.Option("--due", help="All orders that the clock asks for: every hour, day, week, month.")
    ] = False,
    count: Annotated[int | None, typer.Option(min=1, help="Items, in place of the order's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The batch's seed, in place of the order's.")] = None,
    around: Annotated[str | None, typer.Option(help="An item of a batch: deliver variations of it.")] = None,
    as_json: Json = False,
) -> None:
    """Deliver a batch by the champion. The same batch asked for twice is the same batch."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        params = read_params(root, None, None)
        from flows.batches import changed, delivered, delivered_due

        if due:
            done = delivered_due(root, params)
        else:
            name = order or next(iter(params.batches), "")
            done = delivered(root, params, name, changed(params, name, count, seed, around))
        if as_json:
            told = [batch.model_dump() for batch in done]
            write(json.dumps(told if due or len(told) > 1 else told[0], indent=1))
        else:
            write("\n".join(f"{batch.uri}  {batch.items:,} items" for batch in done) or "nothing is due")


@app.command()
def status(as_json: Json = False) -> None:
    """Dataset version, champion, last batch and last runs."""
    with stdout_for_json(as_json) as write:
        from flows.status import read_status, render
        from flows.wiring import be_quiet
        from pipeline.environment import workspace

        be_quiet()
        found = read_status(workspace(), at_work=is_locked(workspace()))
        if as_json:
            write(found.model_dump_json(indent=1))
        elif found.runs or found.snapshot:
            show(render(found))
        else:
            print(f"No run yet in {workspace()}: `genloop run` makes the first.")


@app.command()
def report(
    open_it: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
    as_json: Json = False,
) -> None:
    """The page of the last run that ended well: where it is."""
    from flows.run_report import last_page
    from pipeline.environment import workspace

    found = last_page(workspace())
    print(json.dumps({"page": str(found)}, indent=1) if as_json else found)
    if open_it:
        typer.launch(found.as_uri())


@app.command()
def metrics(
    host: Annotated[str, typer.Option(help="Where to listen. Anyone who reaches it may read it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of /metrics.")] = 9464,
    once: Annotated[bool, typer.Option("--once", help="Print the figures, and end.")] = False,
) -> None:
    """Serve this workspace's figures for Prometheus, until it is stopped."""
    from flows.metrics.serving import serve, told_once
    from pipeline.environment import workspace
    from pipeline.params_file import load_params

    root = known_workspace(workspace())
    params = load_params(root / "params.yaml")

    if once:
        print(told_once(root, params), end="")
    else:
        serve(root, params, host, port)


@app.command()
def doctor(
    repair: Annotated[
        bool, typer.Option("--repair", help="Set right first what killed runs left: history, Prefect, MLflow.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what of the environment works, what does not, and the remedy."""
    from flows.doctor import diagnose
    from pipeline.environment import workspace

    if repair:
        from flows.running import repaired
        from pipeline.log import say

        for line in repaired(prepare()):
            say(line)
    checks = diagnose(workspace())
    if as_json:
        print(json.dumps([vars(check) for check in checks], indent=1))
    else:
        from rich.console import Console

        colours = {"ok": "green", "warn": "yellow", "fail": "red"}
        for check in checks:
            remedy = f"  → {check.remedy}" if check.remedy and check.state != "ok" else ""
            line = f"[{colours[check.state]}]{check.state:<5}[/] {check.name:<16} "
            Console(highlight=False).print(line, end="")
            print(check.detail + remedy)
    raise typer.Exit(1 if any(check.state == "fail" for check in checks) else 0)


@app.command()
def up(
    schedules: Annotated[
        bool, typer.Option(help="Run what is due by the clock; else only what is triggered or asked for.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Start all of it here, to run by itself: the servers with their pages, a worker, and what is scheduled for it."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        from flows.standing import stand_up

        _announce("starting local services")
        started = stand_up(root, schedules)
        told = [{"name": service.name, "url": service.url} for service in started]
        write(json.dumps(told, indent=1) if as_json else "\n".join(f"{s.name:<8} {s.url}" for s in started))


@app.command()
def deploy(
    schedules: Annotated[
        bool, typer.Option(help="Run what is due by the clock; else only what is triggered or asked for.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Have the Prefect server that PREFECT_API_URL names know what runs by itself; its workers do it."""
    with stdout_for_json(as_json) as write:
        from flows.deploying import deploy as make
        from flows.deploying import deployed, named_server

        root, server = prepare(), named_server()
        make(root, server, schedules, anew=True)
        found = deployed(root, server)
        lines = [f"{one['name']:<28} pool {one['pool']:<4} {', '.join(one['cron'])}".rstrip() for one in found]
        lines.append("a worker of its pool runs each: prefect worker start --pool cpu")
        write(json.dumps(found, indent=1) if as_json else "\n".join(lines))


@app.command()
def down(as_json: Json = False) -> None:
    """Stop the local services."""
    with stdout_for_json(as_json) as write:
        from flows.services import down as stop
        from pipeline.environment import workspace

        stopped = [service.name for service in stop(workspace())]
        lines = [f"{name:<8} stopped" for name in stopped] or ["nothing was running"]
        write(json.dumps({"stopped": stopped}, indent=1) if as_json else "\n".join(lines))


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="The workspace to make.")]) -> None:
    """Make a workspace elsewhere: params.yaml, dvc.yaml and DVC's own files."""
    from flows.workspaces import make_workspace
    from pipeline.environment import Environment

    Environment()  # what can't be would stop every command in the workspace
    make_workspace(folder)
    print(f"{folder}: a workspace; GENLOOP_WORKSPACE={folder} genloop run")


def _while_services_start(services: Services) -> None:
    """Imports of the run itself, for as long as services only start: there is a core to spare."""
    _announce("starting local services")
    for library in ("mlflow", "torch"):
        if services.answer():
            return
        import_module(library)


def _announce(text: str) -> None:
    from pipeline.log import say

    say(text)


def main() -> None:
    from pipeline.log import say, set_up
    from pipeline.stages import mended
    from pipeline.trace import flush

    set_up()
    code: object = 0
    try:
        app()
    except SystemExit as stop:
        code = stop.code
    except Exception as error:
        known = mended(error)
        if not known:
            raise
        say(f"genloop: {known}", logging.ERROR, kind=type(known).__name__)
        code = known.exit_code
    finally:
        flush()
    sys.stdout.flush()
    sys.stderr.flush()
    # Prefect's threads outlive its server and would hold the process for minutes; all work is done and written here.
    os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    main()
