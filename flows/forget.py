"""`genloop data forget`: what is meant, and the services that an erasure reaches into."""

from __future__ import annotations

import csv
import getpass
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows import wiring
from flows.dataset import readable
from flows.staleness import bring_up_to_date, note_as_collected
from pipeline import stages
from pipeline.adapters.versions import Versions
from pipeline.dataset.forget import Plan, Wanted
from pipeline.dataset.forget import forget as erase
from pipeline.dataset.forget import plan as planned
from pipeline.dataset.history import versions
from pipeline.dataset.proof import Proof
from pipeline.errors import GenloopError, ParamsError
from pipeline.files import write_json
from pipeline.progress import bar
from pipeline.settings import Params
from pipeline.tombstones import read_tombstones

if TYPE_CHECKING:
    import pyarrow as pa

EVENTS = Path("runs/events")
WHOLE = 64  # digits of a hash


def wanted(workspace: Path, names: Sequence[str], source: str, file: Path | None) -> Wanted:
    """What is meant by hashes or their first digits, a source's name, and a file with a hash a line or a column sha256.

    A whole hash need not stand anywhere: it is kept out from now on. Nothing at all: what was forgotten before is
    looked for again. Raises ParamsError where one is not clear.
    """
    if not names and not source and not file and not read_tombstones(workspace):
        raise ParamsError("nothing to forget", remedy="give hashes, --source or --list")
    asked = [*(name.lower() for name in names), *(_listed(file) if file else ())]
    found, problems = set[str](), []
    for table in _known(workspace):
        rows = _meant(table, asked, source)
        found.update(rows["sha256"].to_pylist(), rows["original"].drop_null().to_pylist())
        problems += rows["problem"].to_pylist()
    for name in asked:
        matching = {sha256 for sha256 in found if sha256.startswith(name)}
        if not matching and len(name) == WHOLE:
            found.add(name)
        elif len(name) < WHOLE and len(matching) != 1:
            what = f"{len(matching)} items begin so" if matching else "no such item in any version"
            raise ParamsError(what, where=name, remedy="give all 64 digits of its hash")
    if source and not found:
        raise ParamsError("no version has an item of that source", where=source, remedy="`genloop data log --json`")
    return Wanted(frozenset(found), shown=None in problems or not problems)


def dry_run(workspace: Path, asked: Wanted) -> Plan:
    with _services(workspace) as (registry, store), _told() as tell:
        return planned(workspace, asked, registry, store, tell)


def forget(workspace: Path, params: Params, asked: Wanted, why: str) -> tuple[Proof, str]:
    """Erase, validate what is left, and ask for a retraining; the proof, and what validation says against what is left.

    Raises GenloopError where something that was read back still holds an item.
    """
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    proof = Proof(id=name, at=now.isoformat(timespec="seconds"), by=getpass.getuser(), why=why, items=len(asked.hashes))
    with _services(workspace) as (registry, store), _told() as tell:
        done = erase(workspace, asked, proof, registry, store, tell)
        if done.models:
            _ask_for_training(workspace, done)
    if not done.clean:
        where = ", ".join(checked.what for checked in done.checked if checked.holding)
        raise GenloopError("not all of it is gone", where=where, remedy=f"see proofs/{done.id}.json, and do it again")
    return done, _validated(workspace, params)


def _validated(workspace: Path, params: Params) -> str:
    if not (workspace / stages.SNAPSHOT / "snapshot.json").exists():
        return ""
    note_as_collected(workspace, params)
    try:
        bring_up_to_date(workspace, "validate")
    except GenloopError as error:
        return str(error)
    return ""


def _ask_for_training(workspace: Path, proof: Proof) -> None:
    """An event as a file, and to the Prefect that is named, for what is scheduled there to react to."""
    told = {"event": "genloop.retraining.asked", "why": f"{proof.items} items were forgotten", "proof": proof.id}
    write_json(workspace / EVENTS / f"{proof.id}.json", told | {"at": proof.at, "models": proof.models})
    if "PREFECT_API_URL" in os.environ:
        from prefect.events import emit_event
        from prefect.events.worker import EventsWorker

        emit_event(told["event"], {"prefect.resource.id": "genloop.dataset"}, payload=told)
        EventsWorker.drain_all(timeout=5)


def _known(workspace: Path) -> list[pa.Table]:
    """Hashes, sources and problems of every part of every version and of the snapshot that stands here; each once."""
    import pyarrow.parquet as pq

    store, files = Versions(workspace), dict[str, Path]()
    for version in versions(workspace):
        with suppress(GenloopError):  # what is lost holds nothing; a remote that does not answer is told of later
            files |= {n: path for n, path in store.files(version.stored.md5).items() if n.startswith("parts/")}
    here = workspace / stages.SNAPSHOT / "parts"
    files |= {f"parts/{path.name}": path for path in here.glob("*.parquet")}
    tables = []
    for path in files.values():
        with pq.ParquetFile(path) as file:
            tables.append(file.read(["sha256", "original", "source", "problem"]))
    return tables


def _meant(table: pa.Table, asked: Sequence[str], source: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    if source:
        return table.filter(pc.equal(table["source"], source))
    whole = pa.array([name for name in asked if len(name) == WHOLE], pa.string())
    mask = pc.or_(*(pc.is_in(table[name], whole) for name in ("sha256", "original")))
    for name in (name for name in asked if len(name) < WHOLE):
        mask = pc.or_(mask, pc.starts_with(table["sha256"], name))
        mask = pc.or_(mask, pc.fill_null(pc.starts_with(table["original"], name), False))
    return table.filter(mask)


def _listed(file: Path) -> list[str]:
    with readable(file), file.open(newline="", encoding="utf-8-sig") as text:
        rows = [row for row in csv.reader(text) if row]
    place = rows[0].index("sha256") if rows and "sha256" in rows[0] else 0
    found = [row[place].strip().lower() for row in (rows[1:] if rows and "sha256" in rows[0] else rows)]
    for number, name in enumerate(found, 1):
        if len(name) != WHOLE or not set(name) <= set("0123456789abcdef"):
            raise ParamsError(f"entry {number} is no hash: {name[:70]!r}", where=str(file), remedy="mend it")
    return found


@contextmanager
def _services(workspace: Path) -> Iterator[tuple[Any, Any]]:
    """The registry and the batches' store; DVC's remote aimed at the S3 of this moment, where it was aimed at one."""
    with wiring.environment_for_run(workspace, ("s3",)) as services:
        services.wait()
        if Versions(workspace).aimed:
            wiring.point_versions(workspace, services.get("s3"))
        store = wiring.store()
        store.check()
        yield wiring.registry(workspace), store


@contextmanager
def _told() -> Iterator[Any]:
    with bar("forget", "") as show:
        yield lambda what: show(0, None, what)
