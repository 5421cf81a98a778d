"""The release record: one signed JSON that joins all a batch came from with the hash of all that is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pipeline.adapters.store import Store
from pipeline.generate import layouts
from pipeline.generate.batches import home
from pipeline.generate.order import Order
from pipeline.generate.receipt import Receipt, Written
from pipeline.settings import Costs
from pipeline.values import Approval, Batch, Scorecard, Value

JOULES_A_KWH = 3.6e6
SEEN = (*layouts.FOLDERS, "gallery", "atlas", "sheet", "catalogue")  # where images can be seen, or are told of
HELD = (*SEEN, "items")


class Provenance(Value):
    """What stands behind a model version, as the registry has it.

    tags: of the version: commit, params, dvc_lock, snapshot. validation: the report on the snapshot; decision: why it
    was promoted; seconds: that its stages took; params: the text of params.yaml that it was trained with. All of them
    empty where the registry does not have them. commit: of the code that makes the batch.
    """

    scorecard: Scorecard
    tags: dict[str, str]
    validation: dict[str, Any] = {}
    decision: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    params: str = ""
    approval: Approval | None = None
    commit: str = "none"


class Cost(Value):
    """seconds: of one core, by step. kwh and money are reckoned from these by the watts and prices of params.yaml."""

    seconds: dict[str, float]
    kwh: float
    money: float
    currency: str

    @property
    def total_s(self) -> float:
        return sum(self.seconds.values())


def cost_of(seconds: dict[str, float], prices: Costs) -> Cost:
    total = sum(seconds.values())
    kwh = total * prices.core_watts / JOULES_A_KWH
    money = kwh * prices.kwh + total / 3600 * prices.core_hour
    return Cost(
        seconds={name: round(value, 3) for name, value in seconds.items()},
        kwh=float(f"{kwh:.6g}"),
        money=float(f"{money:.6g}"),
        currency=prices.currency,
    )


def spent(receipts: Sequence[Receipt]) -> dict[str, float]:
    total = Counter[str]()
    for receipt in receipts:
        total.update(receipt.seconds)
    return dict(total)


class Withdrawal(Value):
    """item: empty where the whole batch is withdrawn."""

    item: str = ""
    at: str
    by: str
    why: str


class Release(Value):
    """What is signed. objects: the hash of each object of the batch, by its name there.

    Every item's hash stands in the table of its part, whose hash stands here. an_item: the cost of each, in money.
    """

    batch: Batch
    made_at: str
    order: Order
    seed: int
    snapshot: str
    provenance: Provenance
    approvals: tuple[str, ...] = ()
    cost: Cost
    an_item: float
    model_cost: Cost
    withdrawn: tuple[Withdrawal, ...] = ()
    objects: dict[str, str]


def release(
    batch: Batch,
    order: Order,
    made_at: str,
    receipts: Sequence[Receipt],
    more: Sequence[Written],
    provenance: Provenance,
    prices: Costs,
) -> Release:
    """more: objects that are no part's. What tells of the batch is still without."""
    written = [*(one for receipt in receipts for one in receipt.objects), *more]
    cost = cost_of(spent(receipts), prices)
    return Release(
        batch=batch,
        made_at=made_at,
        order=order,
        seed=order.seed,
        snapshot=order.snapshot,
        provenance=provenance,
        approvals=(str(provenance.approval),) if provenance.approval else (),
        cost=cost,
        an_item=float(f"{cost.money / max(1, batch.items):.6g}"),
        model_cost=cost_of(provenance.seconds, prices),
        objects={one.name: one.sha256 for one in written},
    )


def unnamed(store: Store, told: Release, folders: Sequence[str] = HELD) -> list[str]:
    """What lies in these folders of the batch that its record does not name, by its name there."""
    base = home(told.batch)
    there = (key.removeprefix(f"{base}/") for folder in folders for key in store.keys(f"{base}/{folder}/"))
    return [name for name in there if name not in told.objects]
