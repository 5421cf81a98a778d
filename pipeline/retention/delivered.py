"""Batches as retention sees them, from what their store has; and how they go.

Of a batch that was committed or withdrawn its signed record stays, with what was noted of it since, as the trace.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import NamedTuple

from pipeline.adapters.store import Store
from pipeline.errors import GenloopError
from pipeline.generate.batches import (
    CLEANED,
    COMMIT,
    INDEX,
    RECORD,
    STARTED,
    WITHDRAWN,
    Stores,
    as_json,
    is_trace,
    read_manifest,
)
from pipeline.generate.find import order_of
from pipeline.orders import BatchOrder
from pipeline.retention.plan import Key, Kind, Root, Thing
from pipeline.values import Batch, Value

ID = re.compile(r"[0-9a-f]{16}")
BEING_MADE = "a batch is being made here"
WHOLE = "has its record, but was never committed: the same order commits it"


class Cleaned(Value):
    """What cleaned.json tells. status: what the batch was before; at: ISO 8601."""

    at: str
    status: str
    objects: int
    bytes: int


class Object(NamedTuple):
    size: int
    at: datetime


@dataclass(frozen=True)
class Delivery:
    """What the store has of one batch, whatever became of it. objects: by their name below `home`."""

    bucket: str
    home: str
    objects: Mapping[str, Object]
    batch: Batch | None

    @property
    def id(self) -> str:
        return PurePosixPath(self.home).name

    @property
    def kind(self) -> Kind | None:
        """None where nothing but the trace is left, or it is none of ours."""
        if all(map(is_trace, self.objects)):
            return None
        if COMMIT in self.objects:
            return "batches"
        if WITHDRAWN in self.objects or CLEANED in self.objects:
            return "withdrawn"
        begun = STARTED in self.objects or any(name.startswith("receipts/") for name in self.objects)
        return "unfinished" if begun else None

    @property
    def key(self) -> Key:
        return Key(self.kind or "batches", f"{self.bucket}/{self.home}")


def deliveries(stores: Stores, orders: Mapping[str, BatchOrder], tell: Callable[[str], None]) -> list[Delivery]:
    """Of every place where a batch was delivered, or an order says to. Raises ServiceError."""
    listed = dict[str, Batch]()
    for key in stores("").keys(INDEX):
        if found := stores("").get(key):
            batch = Batch.model_validate_json(found)
            listed[batch.id] = batch
    places = {(batch.bucket, batch.prefix) for batch in listed.values()}
    places |= {(order.bucket, order.prefix) for order in orders.values()}
    return [one for place in sorted(places) for one in _deliveries(stores, *place, listed, tell)]


def _deliveries(
    stores: Stores, bucket: str, prefix: str, listed: Mapping[str, Batch], tell: Callable[[str], None]
) -> Iterator[Delivery]:
    store, found = stores(bucket), dict[str, dict[str, Object]]()
    tell(store.uri(prefix))
    for key, size, at in store.listed(f"{prefix}/"):
        name, _, below = key.removeprefix(f"{prefix}/").partition("/")
        if below and ID.fullmatch(name):
            found.setdefault(name, {})[below] = Object(size, at)
    for name, objects in found.items():
        home = f"{prefix}/{name}"
        batch = listed.get(name) or (_committed(store, home) if COMMIT in objects else None)
        yield Delivery(bucket, home, objects, batch)


def _committed(store: Store, home: str) -> Batch | None:
    """As the commit object tells, of one that the index does not have."""
    try:
        return Batch.model_validate(json.loads(store.get(f"{home}/{COMMIT}") or b"")["batch"])
    except (ValueError, KeyError, TypeError):
        where = store.uri(f"{home}/{COMMIT}")
        raise GenloopError("a commit object is damaged", where=where, remedy="withdraw the batch, or mend it") from None


def preferences_of(stores: Stores, found: list[Delivery]) -> dict[str, str]:
    """Of each committed batch that was taken by preference, the key of that, by the batch's id. Reads all manifests."""
    told = {}
    for one in found:
        if one.kind == "batches" and one.batch:
            told[one.id] = order_of(read_manifest(stores(one.bucket), one.batch)).preference
    return {name: preference for name, preference in told.items() if preference}


def things(found: list[Delivery], needs: Callable[[Delivery], frozenset[Key]]) -> Iterator[Thing]:
    for one in found:
        if one.kind is None:
            continue
        sizes = sum(object_.size for name, object_ in one.objects.items() if not is_trace(name))
        marks = [mark for mark in (COMMIT, WITHDRAWN, CLEANED) if mark in one.objects]
        at = one.objects[marks[0]].at if marks else max(object_.at for object_ in one.objects.values())
        group = one.batch.order if one.batch and one.kind == "batches" else ""
        wanted = needs(one) if one.kind != "unfinished" else frozenset[Key]()
        yield Thing(one.key, at, sizes, wanted, group=group, begun=CLEANED in one.objects)


def roots(found: list[Delivery], busy: bool) -> Iterator[Root]:
    """busy: whether a batch is being made in this workspace."""
    unfinished = [one for one in found if one.kind == "unfinished"]
    yield Root(WHOLE, frozenset(one.key for one in unfinished if RECORD in one.objects))
    if busy:
        yield Root(BEING_MADE, frozenset(one.key for one in unfinished))


def clean(stores: Stores, thing: Thing, at: str) -> bool:
    """Of a batch that was committed or withdrawn: first it is marked, then it is no more committed, then it goes. Of
    one that was never committed, what counts its parts goes first, and what tells that it was begun last. False where
    that has gone on since it was looked at."""
    bucket, _, home = thing.key.name.partition("/")
    store = stores(bucket)
    there = {one.key.removeprefix(f"{home}/"): one for one in store.listed(f"{home}/")}
    gone = [name for name in there if not is_trace(name)]
    if thing.key.kind == "unfinished":
        if there.keys() & {COMMIT, RECORD} or any(one.at > thing.at for one in there.values()):
            return False
        for some in (
            [name for name in gone if name.startswith("receipts/")],
            [name for name in gone if not name.startswith("receipts/") and name != STARTED],
            [STARTED],
        ):
            store.delete([f"{home}/{name}" for name in some])
        return True
    if CLEANED not in there:
        status = "committed" if COMMIT in there else "withdrawn"
        told = Cleaned(at=at, status=status, objects=len(gone), bytes=thing.bytes)
        store.put(f"{home}/{CLEANED}", as_json(told.model_dump()), "application/json")
    store.delete([f"{home}/{COMMIT}"])
    store.delete([f"{home}/{name}" for name in gone])
    return True
