"""`genloop data`: what a data team does in a day."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli_tools import Json, only_run, prepare, read_params, stdout_for_json
from pipeline.errors import ParamsError

data = typer.Typer(no_args_is_help=True, help="Update, correct, compare and restore the dataset.")
Why = Annotated[str, typer.Option(help="Kept with the version.")]
PAGES, DOCS = Path("runs/pages"), Path("runs/docs")


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

        import_module("pipeline.arrow_alone")

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
        from flows import data_views, dataset

        if accept:
            params = read_params(root, None, None)
            with only_run(root):
                _tell(root, params, dataset.accept(root, params, accept, why), as_json, write)
            return
        from pipeline.dataset.lookup import quarantined

        rows = quarantined(root, reason)
        if html:
            from pipeline.dataset.page import quarantine_page

            write(str(_written(root, "quarantine.html", quarantine_page(data_views.by_kind(rows)))))
        elif as_json:
            told = [{"sha256": i.sha256, "path": i.path, "label": i.label, "reason": why} for why, i in rows]
            write(json.dumps(told, indent=1, ensure_ascii=False))
        else:
            data_views.show_quarantine(rows)


@data.command()
def log(
    html: Annotated[
        bool, typer.Option("--html", help="A page with each version's Data Docs; prints where it is.")
    ] = False,
    as_json: Json = False,
) -> None:
    """The versions: when, who, why, and what changed."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        if html:
            from pipeline.dataset.docs import docs_site

            write(str(docs_site(root, root / DOCS)))
            return
        from flows import data_views
        from pipeline.dataset.history import tags, versions

        found, names = versions(root), tags(root)
        if as_json:
            told = [v.model_dump(mode="json") | {"tags": [n for n, i in names.items() if i == v.number]} for v in found]
            write(json.dumps(told, indent=1, ensure_ascii=False))
        elif found:
            data_views.show_log(found, names)
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
        from flows import data_views, dataset

        one, other, found = dataset.diff(root, before, after)
        if html:
            from pipeline.dataset.page import difference_page

            write(str(_written(root, f"diff-{one.number}-{other.number}.html", difference_page(one, other, found))))
        elif as_json:
            write(json.dumps(data_views.told_difference(one, other, found), indent=1, ensure_ascii=False))
        else:
            data_views.show_difference(one, other, found)


@data.command("show")
def show_item(
    sha256: Annotated[str, typer.Argument(help="An item's hash, or its first digits.")], as_json: Json = False
) -> None:
    """One item: what it is, where it came from, by which right, and the versions it is in."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        from pipeline.dataset.lookup import item

        found = item(root, sha256)
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
def forget(
    sha256: Annotated[list[str] | None, typer.Argument(help="Hashes of items, or their first digits.")] = None,
    source: Annotated[str, typer.Option(help="All items of this source.")] = "",
    list_: Annotated[Path | None, typer.Option("--list", help="A file with a hash a line.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go; change nothing.")] = False,
    why: Why = "asked to forget",
    as_json: Json = False,
) -> None:
    """Erase items from every version, cache and remote for good, and keep them from coming back."""
    with stdout_for_json(as_json) as write:
        file = Path(os.path.abspath(list_)) if list_ else None
        root = prepare()
        params = read_params(root, None, None)
        from flows import data_views
        from flows import forget as erasure
        from pipeline.dataset.wanted import wanted

        with only_run(root):
            asked = wanted(root, sha256 or [], source, file)
            if dry_run:
                plan = erasure.dry_run(root, asked)
                if as_json:
                    write(json.dumps(data_views.told_plan(asked, plan), indent=1))
                else:
                    data_views.show_plan(asked, plan)
                return
            if sys.stdin.isatty() and not as_json:
                typer.confirm(f"Erase {asked.items:,} items for good?", abort=True)
            proof, fault = erasure.forget(root, params, asked, why)
        if as_json:
            write(json.dumps(proof.model_dump(mode="json") | {"validation": fault}, indent=1))
        else:
            data_views.show_proof(proof, fault)


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
    from flows import data_views
    from pipeline.dataset.history import versions
    from pipeline.dataset.record import warnings

    last = version or versions(root)[-1]
    if as_json:
        told = last.model_dump(mode="json") | {
            "changed": version is not None,
            "unchanged": data_views.unchanged(last) if version else last.items,
            "warnings": warnings(params, last) if version else [],
        }
        write(json.dumps(told, indent=1, ensure_ascii=False))
        return
    if version is None:
        print(f"Nothing changed: version {last.number}, {last.items:,} items.")
        return
    data_views.show_version(version, warnings(params, version))


def _written(root: Path, name: str, text: str) -> Path:
    from pipeline.files import write_text

    path = root / PAGES / name
    write_text(path, text)
    return path
