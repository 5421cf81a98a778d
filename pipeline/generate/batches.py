"""Where batches are: their objects, the list of all of them, and what makes one visible."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from pathlib import PurePosixPath
from typing import Any

from pipeline.adapters.store import Store
from pipeline.errors import GenloopError
from pipeline.generate.order import Order
from pipeline.values import Batch

COMMIT, MANIFEST, RECORD, WITHDRAWN = "_COMMITTED.json", "manifest.json", "record.json", "withdrawn.json"
CLEANED = "cleaned.json"  # of a batch that was let go by retention
TRACE = (RECORD, WITHDRAWN, CLEANED)  # what is left of it then, and what is in notices/
STARTED, EXCLUDED = "started.json", "excluded.json"  # of a batch that is being made
INDEX = "index/"  # in the environment's bucket: a small object for each batch, wherever that lies

Stores = Callable[[str], Store]  # of a bucket; of none, the environment's


def home(batch: Batch) -> str:
    """The prefix of all its objects."""
    return f"{batch.prefix}/{batch.id}"


def notices(batch: Batch) -> str:
    """Where notes are added to a batch's record after it was committed."""
    return f"{home(batch)}/notices/"


def is_trace(name: str) -> bool:
    """Whether an object of a batch, by its name there, stays whatever becomes of the batch."""
    return name in TRACE or name.startswith("notices/")


def committed(store: Store, order: Order) -> Batch | None:
    """The batch, where this very order was delivered before."""
    found = store.get(f"{order.home}/{COMMIT}")
    return Batch.model_validate(json.loads(found)["batch"]) if found else None


def is_committed(store: Store, batch: Batch) -> bool:
    return store.head(f"{home(batch)}/{COMMIT}") is not None


def is_cleaned(store: Store, batch: Batch) -> bool:
    """Whether retention let it go, but for its record."""
    return store.head(f"{home(batch)}/{CLEANED}") is not None


def batches(stores: Stores, but: Collection[str] = ()) -> Iterator[Batch]:
    """Every batch that is committed. but: ids of those that are not asked for."""
    for key in stores("").keys(INDEX):
        batch = None if PurePosixPath(key).stem in but else _listed(stores, key)
        if batch and is_committed(stores(batch.bucket), batch):
            yield batch


def find_batch(stores: Stores, name: str) -> Batch:
    """By its id or the beginning of it, committed or withdrawn. Raises GenloopError where there is none, or several."""
    found = list(stores("").keys(f"{INDEX}{name}"))
    if len(found) != 1 or (batch := _listed(stores, found[0])) is None:
        what = "no such batch" if not found else f"{len(found)} batches begin so"
        raise GenloopError(what, where=name, remedy="`genloop status` names the last ones")
    return batch


def note_batch(stores: Stores, batch: Batch) -> None:
    """Have it listed; it counts once it is committed."""
    stores("").put(f"{INDEX}{batch.id}.json", as_json(batch.model_dump()), "application/json")


def read_manifest(store: Store, batch: Batch) -> dict[str, Any]:
    return dict(json.loads(read_object(store, batch, MANIFEST)))


def read_object(store: Store, batch: Batch, name: str) -> bytes:
    """Raises GenloopError where it is lost."""
    key = f"{home(batch)}/{name}"
    data = store.get(key)
    if data is None:
        raise GenloopError("a batch lacks it", where=store.uri(key), remedy="get it back from a backup")
    return data


def as_json(content: Any) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False).encode()


def _listed(stores: Stores, key: str) -> Batch | None:
    found = stores("").get(key)
    return Batch.model_validate_json(found) if found else None
