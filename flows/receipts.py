"""runs/batches: a receipt of each batch that was delivered from here, for who counts them without asking S3."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.files import write_json
from pipeline.values import Batch, Value

if TYPE_CHECKING:
    from pipeline.adapters.store import Store

BATCHES = Path("runs/batches")


class BatchReceipt(Value):
    """seconds: that making it took here, 0 where that is not known; core_seconds, money: as its record reckons;
    dropped: candidates that were refused, in all."""

    id: str
    order: str
    at: str
    items: int
    seconds: float
    core_seconds: float
    money: float
    currency: str
    dropped: int


def keep_receipt(workspace: Path, store: Store, batch: Batch, seconds: float, certificates: bytes) -> None:
    """Nothing where there is one."""
    path = workspace / BATCHES / f"{batch.id}.json"
    if path.exists():
        return
    from pipeline.generate.batches import read_manifest
    from pipeline.generate.verify import read_release

    told = read_release(store, batch, certificates)
    receipt = BatchReceipt(
        id=batch.id,
        order=batch.order,
        at=told.made_at,
        items=batch.items,
        seconds=round(seconds, 3),
        core_seconds=round(told.cost.total_s, 3),
        money=told.cost.money,
        currency=told.cost.currency,
        dropped=sum(read_manifest(store, batch)["dropped"].values()),
    )
    write_json(path, receipt.model_dump())
