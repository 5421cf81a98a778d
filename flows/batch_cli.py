"""Commands on what was delivered: verify, lineage, regenerate, withdraw."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli_tools import Json, prepare, show, stdout_for_json
from pipeline.errors import ParamsError, SourceError

if TYPE_CHECKING:
    from pipeline.generate.verify import BatchVerdict, FileVerdict

BAD = 7  # the exit code of what is not as it was delivered
PAGES = Path("runs/pages")


def verify(
    what: Annotated[str, typer.Argument(help="A file, an s3:// or http(s):// URI of one, or a batch.")],
    certificates: Annotated[
        Path | None, typer.Option(help="PEM chains that are trusted, in place of this workspace's own.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether a file or a batch is ours, unaltered, and from what. Exit code 7 where it is not."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        with _services(root) as (_, stores):
            trusted = _trusted(root, certificates)
            found = _verify_batch(stores, what, trusted) if _is_batch(what) else _verify_file(stores, what, trusted)
        if as_json:
            write(found.model_dump_json(indent=1))
        else:
            _show_verdict(found)
    raise typer.Exit(0 if found.good else BAD)


def lineage(
    what: Annotated[
        str,
        typer.Argument(help="An item, a batch, NAME@ALIAS or NAME/VERSION of a model, a dataset version, a source."),
    ],
    html: Annotated[bool, typer.Option("--html", help="A page with a picture; prints where it is.")] = False,
    as_json: Json = False,
) -> None:
    """Walk both ways: what something came from, and all that came of it."""
    with stdout_for_json(as_json) as write:
        root = prepare()
        from pipeline.dataset.lineage import Walker, rows

        with _services(root) as (registry, stores):
            found = Walker(root, registry, stores).walk(what)
        told = [{"kind": n.kind, "name": n.title, "focus": n.key == found.focus, **n.facts} for n in rows(found)]
        if html:
            from pipeline.dataset.lineage_page import lineage_page
            from pipeline.files import write_text

            name = re.sub(r"[^A-Za-z0-9-]+", "-", what)
            write_text(root / PAGES / f"lineage-{name}.html", lineage_page(found))
            write(str(root / PAGES / f"lineage-{name}.html"))
        elif as_json:
            edges = [[found.nodes[a].title, found.nodes[b].title] for a, b in found.edges]
            write(json.dumps({"nodes": told, "edges": edges}, indent=1, ensure_ascii=False))
        else:
            _show_lineage(told)


def regenerate(
    item: Annotated[str, typer.Argument(help="An item of a batch, such as 0123456789abcdef-00000042.")],
    out: Annotated[Path | None, typer.Option(help="Where to write it; ITEM.png here, if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Make an item's pixels again from its row of the manifest, check that they are the same, and write them as PNG."""
    target = (out or Path(f"{item}.png")).absolute()
    with stdout_for_json(as_json) as write:
        root = prepare()
        from flows.batches import regenerated
        from pipeline.files import replacing

        with _services(root) as (registry, stores):
            data, row = regenerated(root, registry, stores, item)
        with replacing(target) as temporary:
            temporary.write_bytes(data)
        told = {"item": item, "file": str(target), "pixels": row["pixels"]}
        write(json.dumps(told, indent=1) if as_json else f"{target}  the same pixels as delivered")


def withdraw(
    what: Annotated[str, typer.Argument(help="A batch, or an item of one.")],
    why: Annotated[str, typer.Option("--why", help="The reason, for the record.")],
    as_json: Json = False,
) -> None:
    """Take a batch or an item back: readers no more see it, its record says why."""
    if not why.strip():
        raise ParamsError("--why is empty", remedy="say why, in a few words")
    with stdout_for_json(as_json) as write:
        root = prepare()
        from flows import wiring
        from pipeline.generate.batches import find_batch
        from pipeline.generate.find import batch_of, is_item
        from pipeline.generate.release import Withdrawal
        from pipeline.generate.withdraw import withdraw_batch, withdraw_item

        with _services(root) as (_, stores):
            batch = find_batch(stores, batch_of(what) if is_item(what) else what)
            store, signer, trusted = stores(batch.bucket), wiring.signer(root), _trusted(root, None)
            at = datetime.now(UTC).isoformat(timespec="seconds")
            told = Withdrawal(item=what if is_item(what) else "", at=at, by=getpass.getuser(), why=why.strip())
            if told.item:
                withdraw_item(store, batch, what, told, signer, trusted)
            else:
                withdraw_batch(store, batch, told, signer, trusted)
        write(told.model_dump_json(indent=1) if as_json else f"{what} is withdrawn: {told.why}")


def promote(
    version: Annotated[int, typer.Argument(min=1, help="Of the registered model; an old one is the way back.")],
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so, for the record.")],
    reject: Annotated[bool, typer.Option("--reject", help="It shall not become champion.")] = False,
    why: Annotated[
        str, typer.Option("--why", help="The reason, for the record; with --reject it has to be given.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Make a model version champion, or say that it shall not; what waited for the answer goes on."""
    if not by.strip() or (reject and not why.strip()):
        raise ParamsError("--why is empty" if by.strip() else "--by is empty", remedy="say it in a few words")
    with stdout_for_json(as_json) as write:
        root = prepare()
        from flows.approval import answer
        from flows.cli_tools import read_params

        model = answer(root, read_params(root, None, None), version, by.strip(), why.strip(), yes=not reject)
        told = f"{model.name} v{model.version} is {'rejected' if reject else 'champion'}"
        write(json.dumps({**model.model_dump(), "rejected": reject}, indent=1) if as_json else told)


@contextmanager
def _services(root: Path) -> Iterator[tuple[Any, Any]]:
    """The registry and the batches' stores."""
    from flows import wiring

    with wiring.environment_for_run(root, ("s3",)) as services:
        services.wait()
        wiring.store().check()
        yield wiring.registry(root), wiring.stores


def _trusted(root: Path, certificates: Path | None) -> bytes:
    from flows import wiring

    if certificates is None:
        return wiring.trusted_certificates(root)
    try:
        return certificates.read_bytes()
    except OSError as error:
        raise ParamsError(f"can't be read: {error.strerror}", where=str(certificates)) from None


def _is_batch(what: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{6,16}", what) is not None and not Path(what).exists()


def _verify_batch(stores: Any, name: str, trusted: bytes) -> BatchVerdict:
    from pipeline.generate.batches import find_batch
    from pipeline.generate.verify import verify_batch
    from pipeline.progress import bar

    batch = find_batch(stores, name)
    with bar("verify", "objects") as tell:
        return verify_batch(stores(batch.bucket), batch, trusted, lambda done, total: tell(done, total, ""))


def _verify_file(stores: Any, where: str, trusted: bytes) -> FileVerdict:
    from pipeline.generate.verify import verify_file

    return verify_file(_read(stores, where), trusted, stores)


def _read(stores: Any, where: str) -> bytes:
    """A file, or an object of the batches' S3, or what another address gives."""
    try:
        if where.startswith("s3://"):
            bucket, _, key = where.removeprefix("s3://").partition("/")
            if not key:
                raise SourceError("names a bucket and no object in it", where=where, remedy="check the address")
            data = stores(bucket).get(key)
            if data is None:
                raise SourceError("there is nothing there", where=where, remedy="check the address")
            return bytes(data)
        if "://" in where:
            import fsspec

            with fsspec.open(where) as file:
                return bytes(file.read())
        return Path(where).read_bytes()
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise SourceError(f"can't be read: {what}", where=where, remedy="check the path") from None


def _show_verdict(found: FileVerdict | BatchVerdict) -> None:
    from rich.markup import escape
    from rich.table import Table

    from pipeline.generate.verify import FileVerdict, as_table

    table = Table.grid(padding=(0, 2))
    if isinstance(found, FileVerdict):
        for name, value in as_table(found):
            table.add_row(name, escape(str(value)))
    else:
        table.add_row("batch", f"{found.batch}, {found.status}")
        table.add_row("items", f"{found.items:,} in {found.objects:,} objects")
        for problem in found.problems:
            table.add_row("[red]problem[/]", escape(problem))
    show(table)
    show("[green]ours, and unaltered[/]" if found.good else "[red]not ours, altered, or withdrawn[/]")


def _show_lineage(told: list[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("", "name", "facts"):
        table.add_column(heading, overflow="fold")
    for node in told:
        facts = ", ".join(f"{k} {_short(v)}" for k, v in node.items() if k not in ("kind", "name", "focus"))
        name = escape(node["name"])
        table.add_row(node["kind"], f"[b]{name}[/b]" if node["focus"] else name, escape(facts))
    show(table)


def _short(text: str) -> str:
    return text[:12] if re.fullmatch("[0-9a-f]{32,}", text) else text
