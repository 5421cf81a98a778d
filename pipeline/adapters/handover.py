"""A stage handed over to another workspace and its result taken back, all by way of DVC's remote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.adapters.exchange import Exchange
from pipeline.errors import ERRORS, GenloopError, ServiceError
from pipeline.files import sha256_json, write_json, write_text
from pipeline.values import Value

HOME = "handover"  # in the remote: what became of each order


class StageOrder(Value):
    """All that decides what a stage makes. lock: dvc.lock, by which its data is found. code: MD5 by path."""

    stage: Literal["preprocess", "train", "evaluate"]
    snapshot: str
    params: str
    lock: str
    code: dict[str, str]

    @property
    def id(self) -> str:
        return sha256_json(self.model_dump())[:16]


class StageDone(Value):
    """entry: the stage's in dvc.lock. outs: MD5 of each, by path. receipt: seconds of work. error: in place of
    all these, an error's kind, what, where and remedy."""

    entry: dict[str, Any] = {}
    outs: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{32}(\.dir)?$")]] = {}
    receipt: dict[str, Any] = {}
    error: dict[str, str] = {}

    def raise_error(self) -> None:
        if self.error:
            kind = ERRORS.get(self.error["kind"], GenloopError)
            raise kind(self.error["what"], where=self.error["where"], remedy=self.error["remedy"])


def order_for(workspace: Path, stage: str, snapshot: str) -> StageOrder:
    """The order of a stage as it would run here."""
    told = {
        "stage": stage,
        "snapshot": snapshot,
        "params": (workspace / "params.yaml").read_text(),
        "lock": (workspace / "dvc.lock").read_text(),
        "code": Exchange(workspace).code_of(stage),
    }
    return StageOrder.model_validate(told)


def send_inputs(workspace: Path, order: StageOrder) -> None:
    exchange = Exchange(workspace)
    exchange.send(exchange.data_of(order.stage))


def take_inputs(workspace: Path, order: StageOrder) -> None:
    """Bring what the stage needs from the remote into a workspace that may be empty.

    Raises ServiceError where the code here is not what it was ordered with, or the remote can't be reached.
    """
    for name, text in (("params.yaml", order.params), ("dvc.lock", order.lock)):
        write_text(workspace / name, text)
    exchange = Exchange(workspace)
    here = exchange.code_of(order.stage)
    if other := sorted(path for path in here.keys() | order.code.keys() if here.get(path) != order.code.get(path)):
        what = f"this worker has other code than who ordered stage {order.stage}: {', '.join(other)}"
        raise ServiceError(what, remedy="have both run the same version of genloop")
    exchange.check_out(exchange.data_of(order.stage))


def give_back(workspace: Path, order: StageOrder, receipt: Path) -> None:
    """Send what the stage made, and last the word that it is there."""
    exchange = Exchange(workspace)
    entry = exchange.entry_of(order.stage)
    sent = exchange.send([out["path"] for out in entry["outs"]])
    told = json.loads(receipt.read_text()) if receipt.exists() else {}
    exchange.write(_name(order), StageDone(entry=entry, outs=sent, receipt=told).model_dump_json().encode())


def give_up(workspace: Path, order: StageOrder, error: GenloopError) -> None:
    """Send the error that a person can mend."""
    told = {"kind": type(error).__name__, "what": error.what, "where": error.where, "remedy": error.remedy}
    Exchange(workspace).write(_name(order), StageDone(error=told).model_dump_json().encode())


def done_with(workspace: Path, order: StageOrder) -> StageDone | None:
    """What became of an order, if that is known."""
    found = Exchange(workspace).read(_name(order))
    return StageDone.model_validate_json(found) if found else None


def take_back(workspace: Path, order: StageOrder, done: StageDone, receipt: Path) -> None:
    """Put what the stage made in its place here, as if it had run here. Raises GenloopError where some is missing."""
    exchange = Exchange(workspace)
    for md5 in done.outs.values():
        exchange.fetch(md5)
    exchange.enter(order.stage, done.entry)
    write_json(receipt, done.receipt)


def _name(order: StageOrder) -> str:
    return f"{HOME}/{order.id}.json"
