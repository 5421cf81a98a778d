"""`genloop data forget`: what is meant, and the services that an erasure reaches into."""

from __future__ import annotations

import getpass
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows import wiring
from flows.events import RETRAIN_ASKED, tell
from flows.staleness import bring_up_to_date, note_as_collected
from pipeline import stages
from pipeline.adapters.versions import Versions
from pipeline.dataset.forget import Plan
from pipeline.dataset.forget import forget as erase
from pipeline.dataset.forget import plan as planned
from pipeline.dataset.proof import Proof
from pipeline.dataset.wanted import Wanted
from pipeline.errors import GenloopError
from pipeline.files import write_json
from pipeline.log import log
from pipeline.progress import bar
from pipeline.settings import Params

EVENTS = Path("runs/events")
WHOLE = 64  # digits of a hash


def dry_run(workspace: Path, asked: Wanted) -> Plan:
    with reached(workspace) as (registry, stores), told_by_bar("forget") as tell:
        return planned(workspace, asked, registry, stores, tell)


def forget(workspace: Path, params: Params, asked: Wanted, why: str) -> tuple[Proof, str]:
    """Erase, validate what is left, and ask for a retraining; the proof, and what validation says against what is left.

    Raises GenloopError where something that was read back still holds an item.
    """
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    proof = Proof(id=name, at=now.isoformat(timespec="seconds"), by=getpass.getuser(), why=why, items=asked.items)
    with reached(workspace) as (registry, stores), told_by_bar("forget") as tell:
        done = erase(workspace, asked, proof, registry, stores, tell)
        counts = {"items": done.items, "models": len(done.models), "batches": len(done.batches), "clean": done.clean}
        log("items forgotten", logging.WARNING, proof=done.id, why=why, **counts)
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
    """An event, also as a file."""
    told = {"event": RETRAIN_ASKED, "why": f"{proof.items} items were forgotten", "proof": proof.id}
    write_json(workspace / EVENTS / f"{proof.id}.json", told | {"at": proof.at, "models": proof.models})
    tell(RETRAIN_ASKED, workspace, told)


@contextmanager
def reached(workspace: Path) -> Iterator[tuple[Any, Any]]:
    """The registry and the batches' store; DVC's remote aimed at the S3 of this moment, where it was aimed at one."""
    with wiring.environment_for_run(workspace, ("s3",)) as services:
        services.wait()
        if Versions(workspace).aimed:
            wiring.point_versions(workspace, services.get("s3"))
        wiring.store().check()
        yield wiring.registry(workspace), wiring.stores


@contextmanager
def told_by_bar(title: str) -> Iterator[Any]:
    with bar(title, "") as show:
        yield lambda what: show(0, None, what)
