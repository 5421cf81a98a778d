"""Batches as retention sees them, from what their store has; and how they go.

Of a batch that was committed or withdrawn its signed record stays, with what was noted of it since, as the trace.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import PurePosixPath

from pipeline.adapters.store import Listed, Store
from pipeline.errors import GenloopError, ServiceError
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

RECEIPTS = "receipts/"
MARKS = (COMMIT, RECORD, WITHDRAWN, CLEANED, STARTED, RECEIPTS)
ID = re.compile(r"[0-9a-f]{16}")
BEING_MADE = "a batch is being made here"
WHOLE = "has its record, but was never committed: the same order commits it"


class Cleaned(Value):
    """What cleaned.json tells. status: what the batch was before; at: ISO 8601."""

    at: str
    status: str
    objects: int
    bytes: int


@dataclass(frozen=True)
class Delivery:
    """What the store has of one batch, whatever became of it. marks: when those objects were written that tell what it
    is; loose: how many objects are more than its trace, of so many bytes; newest: when the last of all was written."""

    bucket: str
    home: str
    batch: Batch | None
    marks: Mapping[str, datetime]
    loose: int
    bytes: int
    newest: datetime

    @classmethod
    def of(cls, bucket: str, home: str, batch: Batch | None, objects: Iterable[Listed]) -> Delivery:
        """objects: their keys are names below `home`; there is one at least."""
        marks, loose, size, newest = dict[str, datetime](), 0, 0, datetime.min.replace(tzinfo=UTC)
        for one in objects:
            mark = RECEIPTS if one.key.startswith(RECEIPTS) else one.key
            if mark in MARKS:
                marks[mark] = one.at
            if not is_trace(one.key):
                loose, size = loose + 1, size + one.size
            newest = max(newest, one.at)
        return cls(bucket, home, batch, marks, loose, size, newest)

    @property
    def id(self) -> str:
        return PurePosixPath(self.home).name

    @property
    def kind(self) -> Kind | None:
        """None where nothing but the trace is left, or it is none of ours."""
        if not self.loose:
            return None
        if COMMIT in self.marks:
            return "batches"
        if self.marks.keys() & {WITHDRAWN, CLEANED}:
            return "withdrawn"
        return "unfinished" if self.marks.keys() & {STARTED, RECEIPTS} else None

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
    by_uri = {stores(bucket).uri(prefix): (bucket, prefix) for bucket, prefix in sorted(places)}
    return [one for place in by_uri.values() for one in _deliveries(stores, *place, listed, tell)]


def _deliveries(
    stores: Stores, bucket: str, prefix: str, listed: Mapping[str, Batch], tell: Callable[[str], None]
) -> Iterator[Delivery]:
    """Stores list in order, one batch after the other: of half a batch it would not be known what it is."""
    store, seen = stores(bucket), set[str]()
    tell(store.uri(prefix))
    below = (one._replace(key=one.key.removeprefix(f"{prefix}/")) for one in store.listed(f"{prefix}/"))
    for name, objects in groupby(below, lambda one: one.key.partition("/")[0]):
        if name in seen:
            raise ServiceError("it does not list in order", where=store.uri(prefix), remedy="look at that server")
        seen.add(name)
        if ID.fullmatch(name):
            home = f"{prefix}/{name}"
            named = (one._replace(key=one.key.partition("/")[2]) for one in objects)
            found = Delivery.of(bucket, home, listed.get(name), named)
            if COMMIT in found.marks and found.batch is None:
                found = replace(found, batch=_committed(store, home))
            yield found


def _committed(store: Store, home: str) -> Batch:
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
        at = next((one.marks[mark] for mark in (COMMIT, WITHDRAWN, CLEANED) if mark in one.marks), one.newest)
        group = one.batch.order if one.batch and one.kind == "batches" else ""
        wanted = needs(one) if one.kind != "unfinished" else frozenset[Key]()
        yield Thing(one.key, at, one.bytes, wanted, group=group, begun=CLEANED in one.marks)


def roots(found: list[Delivery], busy: bool) -> Iterator[Root]:
    """busy: whether a batch is being made in this workspace."""
    unfinished = [one for one in found if one.kind == "unfinished"]
    yield Root(WHOLE, frozenset(one.key for one in unfinished if RECORD in one.marks))
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
            [name for name in gone if name.startswith(RECEIPTS)],
            [name for name in gone if not name.startswith(RECEIPTS) and name != STARTED],
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
