"""What a part of a batch came to, kept beside its objects: it counts, once its receipt is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from pipeline.adapters.store import Store
from pipeline.generate.layouts import Blob
from pipeline.generate.order import Order
from pipeline.values import Value


class Written(Value):
    """An object of a batch, by its name below the batch."""

    name: str
    sha256: str
    bytes: int

    @classmethod
    def of(cls, blob: Blob) -> Written:
        return cls(name=blob.name, sha256=hashlib.sha256(blob.data).hexdigest(), bytes=len(blob.data))


class Receipt(Value):
    """What a part came to. dropped: candidates by reason; classes: items by class; seconds: by step, of one core."""

    part: int
    items: int
    classes: dict[str, int]
    dropped: dict[str, int]
    objects: tuple[Written, ...]
    seconds: dict[str, float]

    def named(self, folder: str) -> list[Written]:
        return [written for written in self.objects if written.name.startswith(f"{folder}/")]


def receipt_key(order: Order, part: int, excluded: Sequence[int] = ()) -> str:
    without = f"-{hashlib.sha256(json.dumps(sorted(excluded)).encode()).hexdigest()[:8]}" if excluded else ""
    return f"{order.home}/receipts/{part:05d}{without}.json"


def read_receipt(store: Store, key: str) -> Receipt | None:
    found = store.get(key)
    return Receipt.model_validate_json(found) if found else None
